"""All that a report says."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vaultwatch.detection.evaluator import Counts
from vaultwatch.report.cases import Cases
from vaultwatch.report.coverage import Coverage
from vaultwatch.rules.pack import CompiledRule


class Origin(msgspec.Struct, frozen=True):
    """What a report was made with: the version, the digest of the rules, and the command that repeats it."""

    version: str
    rules: str
    command: str


class Contents(msgspec.Struct, frozen=True):
    """All that a report says.

    Attributes:
        cases: The alerts.
        coverage: What was read.
        problems: What could not be read, in sentences.
        notes: Which files of a folder are no logs, in sentences.
        own: How many logs were left out, because Vaultwatch itself has written them.
        own_names: The names of those, or of many of them.
        counts: The numbers of records read, and of errors.
        reasons: Why lines were rejected, and how many for which reason.
        rules: All rules.
        left_out: Why no alert of a rule is shown, by the names of rules of which none can be.
        staged: How many alerts staged rules have.
        silenced: How many alerts are silenced, by rule and by the file that silences them.
        selected: Whether the user wanted only some of the alerts.
        folder: The folder that all logs are below, which their names are shown without; "" if there is none.
        origin: What it was made with.
    """

    cases: Cases
    coverage: Coverage
    problems: Sequence[str]
    notes: Sequence[str]
    own: int
    own_names: Sequence[str]
    counts: Counts
    reasons: Sequence[tuple[str, int]]
    rules: Sequence[CompiledRule]
    left_out: dict[str, str]
    staged: dict[str, int]
    silenced: dict[tuple[str, str], int]
    selected: bool
    folder: str
    origin: Origin

    @property
    def unread(self) -> bool:
        """Whether no line of a log could be read."""
        return not self.counts.audit and not self.counts.server
