"""Evaluate rules on one record at a time, and count records and errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import tzinfo

import msgspec

from vaultwatch.detection.verdict import Verdict
from vaultwatch.reading.records import Origin, Rejected, rejected_by_error
from vaultwatch.reading.view import View
from vaultwatch.rules.conditions import uses_field
from vaultwatch.rules.index import AuditIndex
from vaultwatch.rules.pack import Rule


class Counts(msgspec.Struct):
    """The numbers of records read since the start, and of errors by the name of the rule.

    A rule error is a rule that raises on a record, or a match that cannot be described in an alert.

    A record counts once: as an audit entry, as a server-log message, or as rejected.
    """

    audit: int = 0
    server: int = 0
    rejected: int = 0
    rule_errors: Counter[str] = msgspec.field(default_factory=Counter)


class Ruleset:
    """A pack's rules with their index; made once per process, because the index caches paths between batches."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self.index = AuditIndex(self.rules)
        self.server = tuple(rule for rule in self.rules if rule.service == "server")
        self.asks_local_time = any(uses_field(rule.compiled.condition, "local") for rule in self.rules)


class Evaluator:
    """Evaluates rules on a record, and counts. An exception in a rule or a record affects no other.

    Attributes:
        counts: The numbers of records and errors so far.
        zone: The time zone of `local.hour` and `local.weekday`; None if no rule uses them.
        before_record: Returns why the next record is rejected unread, "" if it is not.
    """

    before_record: Callable[[], str] | None = None

    def __init__(
        self,
        zone: tzinfo | None,
        on_rejected: Callable[[Rejected], None],
        on_rule_error: Callable[[str, Exception], None],
        fatal: tuple[type[Exception], ...],
    ) -> None:
        self.counts = Counts()
        self.zone = zone
        self._on_rejected = on_rejected
        self._on_rule_error = on_rule_error
        self._fatal = fatal

    def matching(self, rules: Iterable[Rule], view: View) -> list[Rule]:
        """Return the rules that match. A rule that raises does not match, and is counted under its name."""
        return [rule for rule in rules if self._matches(rule, view)]

    def count_rule_error(self, name: str, error: Exception) -> None:
        """Count an error under the rule's name, and report it."""
        self.counts.rule_errors[name] += 1
        self._on_rule_error(name, error)

    def reject(self, rejected: Rejected) -> None:
        """Count a rejected line, and pass it to `on_rejected`."""
        self.counts.rejected += 1
        self._on_rejected(rejected)

    def isolate(
        self, raw: bytes, origin: Origin, work: Callable[[], list[Verdict]], instead: Callable[[], object] = list
    ) -> list[Verdict]:
        """Return the result of the work on one record; if the work raises, or is not to be done, reject the record.

        Args:
            raw: The record's bytes.
            origin: Where the record came from.
            work: Evaluates the record.
            instead: Called if the record is rejected unread.
        """
        if self.before_record and (reason := self.before_record()):
            self.reject(Rejected(raw, reason, origin))
            instead()
            return []
        try:
            return work()
        except self._fatal:
            raise
        except Exception as error:  # noqa: BLE001  whatever a log contains, only that record is rejected
            self.reject(rejected_by_error(error, raw, origin))
            return []

    def _matches(self, rule: Rule, view: View) -> bool:
        try:
            return rule.matches(view)
        except self._fatal:
            raise
        except Exception as error:  # noqa: BLE001  a rule may be anybody's code: its error is counted, and other rules continue
            self.count_rule_error(rule.name, error)
            return False
