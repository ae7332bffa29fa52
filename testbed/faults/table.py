"""The table of docs/guarantee.md, which `make faults WRITE=1` measures again."""

from __future__ import annotations

from testbed.faults.chain import Outcome

_SIMULATED, _LIVE = "make faults", "make faults LIVE=1"
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


def with_table(page: str, rows: list[str], server: str = "") -> str:
    """Return the page with these rows between its marks.

    Args:
        page: The page.
        rows: The head and the rows.
        server: The real server that was the sender; "" for the simulated one.
    """
    begin, end = _marks(live=bool(server))
    before, _, rest = page.partition(begin)
    table = "".join(f"    {row.rstrip()}\n" for row in rows)
    title = f"{server}:\n\n" if server else ""
    return f"{before}{begin}\n{title}{table}\n{end}{rest.partition(end)[2]}"


def faults_in(page: str, *, live: bool = False) -> list[str]:
    """Return the names of the faults in a table of a page."""
    begin, end = _marks(live)
    rows = page.partition(begin)[2].partition(end)[0].partition(HEAD.rstrip())[2].strip("\n").splitlines()
    return [row[4 : 4 + 26].rstrip() for row in rows]


def _marks(live: bool) -> tuple[str, str]:
    name = _LIVE if live else _SIMULATED
    return f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
