"""The table of docs/guarantee.md, which `make faults WRITE=1` measures again."""

from __future__ import annotations

from testbed.faults.chain import Outcome

_BEGIN, _END = "<!-- make faults: begin -->\n", "<!-- make faults: end -->\n"
_ROW = "{:26} {:>6} {:>12} {:>9} {:>6} {:>9} {:>11} {:>7} {:>6} {:>12} {:>8}"
HEAD = _ROW.format(
    *("fault", "owed", "lost: socket", "fast way", "in all", "repeated"),
    *("alerts late", "missed", "twice", "longest wait", "drained"),
)


def row_of(outcome: Outcome) -> str:
    """Return the row of one run."""
    counts = (outcome.owed, outcome.lost_socket, outcome.lost_fast, outcome.lost, outcome.repeated)
    times = (f"{outcome.longest_seconds:.3f} s", f"{outcome.drain_seconds:.1f} s")
    again = "-" if outcome.again is None else outcome.again
    return _ROW.format(outcome.fault, *counts, outcome.late, outcome.missed, again, *times)


def with_table(page: str, rows: list[str]) -> str:
    """Return the page with these rows between its marks.

    Args:
        page: The page.
        rows: The head and the rows.
    """
    before, _, rest = page.partition(_BEGIN)
    table = "".join(f"    {row.rstrip()}\n" for row in rows)
    return f"{before}{_BEGIN}\n{table}\n{_END}{rest.partition(_END)[2]}"


def faults_in(page: str) -> list[str]:
    """Return the names of the faults in the table of a page."""
    rows = page.partition(_BEGIN)[2].partition(_END)[0].strip("\n").splitlines()[1:]
    return [row[4 : 4 + 26].rstrip() for row in rows]
