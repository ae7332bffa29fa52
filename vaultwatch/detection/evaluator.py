"""Evaluate rules on one record at a time, and count records and errors."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import tzinfo
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

from vaultwatch.detection.verdict import Verdict
from vaultwatch.reading.records import Origin, Rejected, rejected_by_error
from vaultwatch.reading.view import PartialView, View
from vaultwatch.rules.conditions import uses_field
from vaultwatch.rules.correlations import Correlations
from vaultwatch.rules.few_fields import texts_for
from vaultwatch.rules.index import AuditIndex
from vaultwatch.rules.pack import Rule
from vaultwatch.rules.screening import Screen
from vaultwatch.rules.three_valued import decided

if TYPE_CHECKING:
    from vaultwatch.rules.server_index import ServerIndex

Result = TypeVar("Result", bool, bool | None)
MAX_UNDECIDED_NAMES = 20
_ALLOCATIONS = 100_000


class Counts(msgspec.Struct):
    """The numbers of records read since the start, and of errors by the name of the rule.

    A rule error is a rule that raises on a record, or a match that cannot be described in an alert. An error of the
    index over the rules is counted under the name `index`.

    A record counts once: as an audit entry, as a server-log message, or as rejected. Those decoded in part count as
    `partial` too, and `undecided` is how often each rule could not be decided on one.

    `undated` is how many matches no correlation counted, because their records have no time that can be read, `future`
    how many, because their times are more than an hour after they were received, and `groups_dropped` how many counts
    were given up because there were too many groups. `unclear` is how many messages are lines with neither time nor
    level that no server is known to write.
    """

    audit: int = 0
    server: int = 0
    rejected: int = 0
    rule_errors: Counter[str] = msgspec.field(default_factory=Counter)
    partial: int = 0
    undecided: Counter[str] = msgspec.field(default_factory=Counter)
    undated: int = 0
    future: int = 0
    groups_dropped: int = 0
    unclear: int = 0


def collect_garbage_rarely() -> None:
    """Spare a process that evaluates from searching all rules for garbage again and again.

    They are never garbage, and records make no cycles (measured: a third of the time of evaluation).
    """
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS)


class Ruleset:
    """A pack's rules with their index; made once per process, because the index caches paths between batches."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        compiled = (rule.compiled for rule in self.rules)
        self.correlations = Correlations((one, one.correlation) for one in compiled if one.correlation)
        also, counted = self.correlations.fields, self.correlations.silent
        silent = [rule for rule in self.rules if rule.service == "audit" and rule.name in counted]
        self.index = AuditIndex(self.rules, {text for rule in silent for text in texts_for((rule,), also[rule.name])})
        self.screen = Screen(also, self.index.texts)
        self.asks_local_time = any(uses_field(rule.fields, "local") for rule in self.rules)

    @cached_property
    def server_index(self) -> ServerIndex:
        """The index over the server rules, made on first use: an audit log needs none of its modules."""
        from vaultwatch.rules.server_index import ServerIndex

        return ServerIndex(self.rules)


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
        return [rule for rule in rules if self._guarded(rule, rule.matches, view)]

    def matching_partial(self, rules: Iterable[Rule], view: View, partial_view: PartialView) -> list[Rule]:
        """Return the rules that match a partial record, and add those that it leaves undecided to its view.

        A rule that asks for `partial` is evaluated after all others, and matches if it is undecided.

        Args:
            rules: The rules that could match the record.
            view: The record's view; gets the field `undecided`.
            partial_view: What is known of the record.
        """
        matching: list[Rule] = []
        undecided: list[str] = []
        last: list[Rule] = []
        for rule in rules:
            if rule.asks_partial:
                last.append(rule)
                continue
            result = self._guarded(rule, partial(_decided, rule, partial_view), view)
            if result:
                matching.append(rule)
            if (result is None or (result and rule.source)) and not rule.compiled.silenced_by:
                undecided.append(rule.name)
        self.counts.partial += 1
        self.counts.undecided.update(undecided)
        for one in (view, partial_view.known, partial_view.begun):
            one["undecided"] = _listed(undecided)
        decide_last = (self._guarded(rule, partial(_decided, rule, partial_view), view) for rule in last)
        return matching + [rule for rule, result in zip(last, decide_last, strict=True) if result is not False]

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

    def _guarded(self, rule: Rule, test: Callable[[View], Result], view: View) -> Result | Literal[False]:
        try:
            return test(view)
        except self._fatal:
            raise
        except Exception as error:  # noqa: BLE001  a rule may be anybody's code: its error is counted, and other rules continue
            self.count_rule_error(rule.name, error)
            return False


def _decided(rule: Rule, partial_view: PartialView, view: View) -> bool | None:
    """Decide a rule; one in Python is given what was decoded, and unless it matches that, it is undecided."""
    return (rule.matches(view) or None) if rule.source else decided(rule.compiled.condition, partial_view)


def _listed(names: list[str]) -> list[str]:
    shown = sorted(names)[:MAX_UNDECIDED_NAMES]
    return [*shown, f"{len(names) - len(shown)} more"] if len(names) > len(shown) else shown
