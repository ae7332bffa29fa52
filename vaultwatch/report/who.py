"""Who and where: calls, refusals and alerts by caller, address and mount."""

from __future__ import annotations

from vaultwatch.findings.tally import Use, Uses
from vaultwatch.report.contents import Contents
from vaultwatch.report.elements import bar, code, marked, note, section, table
from vaultwatch.report.markup import Child, Html, tag

_MOST_CALLERS, _MOST_OTHERS = 20, 12


def who(contents: Contents) -> Html:
    """Return the section."""
    tally = contents.coverage.tally
    if not tally.total.calls and not tally.total.alerts:
        return section("who", "Who and where", note("No audit entry was read."))
    callers = _table("By caller", "caller", tally.callers, _MOST_CALLERS)
    addresses = _table("By address", "address", tally.addresses, _MOST_OTHERS)
    mounts = _table("By mount", "mount", tally.mounts, _MOST_OTHERS)
    sides = tag("div", addresses, mounts, class_="two")
    remark = "All calls in the logs, whatever was selected. A call counts once for each audit device that logged it."
    return section("who", "Who and where", callers, sides, note(remark))


def _table(caption: str, unit: str, uses: Uses, limit: int) -> Html:
    found, rest, names = uses.top(limit)
    most = max((use.calls for _, use in found), default=0)
    rows = [_row(code(name) if name else tag("em", "not logged"), use, bar(use.calls, most)) for name, use in found]
    if names:
        rows.append(_row(tag("em", f"{names:,} more"), rest, None))
    return table(caption, [unit, "#calls", "", "#refused", "#alerts"], rows)


def _row(name: Child, use: Use, drawn: Html | None) -> list[Child]:
    return [name, use.calls, drawn, marked(use.refused), marked(use.alerts)]
