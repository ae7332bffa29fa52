"""The timeline: alerts by level above the number of audit entries, as SVG that needs no script and no style.

All positions are percentages of the width, so that texts keep their size on a small screen. Each level has a row and a
name, so that nothing depends on colours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from vaultwatch.printable import counted
from vaultwatch.report.contents import Contents
from vaultwatch.report.elements import note, section
from vaultwatch.report.markup import Html, join, tag
from vaultwatch.report.times import Gap, Times, clock, duration, longest_gap
from vaultwatch.rules.facts import Level

_PARTS = 96
_ALERTS, _VOLUME, _LABEL = 26, 64, 26
_MOST_GAPS = 100
_TRIMMED = 0.005
_SHORTEST_SECONDS = 1.0


class Period(NamedTuple):
    """The time that is drawn, in seconds since 1970, and how many entries and alerts are outside."""

    begin: float
    end: float
    outside: int


class _Row(NamedTuple):
    """A row of bars: their class, what is counted, what one is, and how high the highest is."""

    kind: str
    times: Times
    unit: str
    height: int


def timeline(contents: Contents) -> Html:
    """Return the section with the timeline."""
    levels = {level: times for level, times in contents.cases.levels.items() if times.counts}
    period = _period([contents.coverage.times, *levels.values()])
    if period is None:
        return section("timeline", "Timeline", note("No audit entry and no alert has a time."))
    gaps = _gaps(contents, period)
    figure = tag("figure", _drawing(contents.coverage.times, levels, period, gaps), _caption(period, gaps, contents))
    return section("timeline", "Timeline", figure)


def _period(all_times: Sequence[Times]) -> Period | None:
    """Return the time between the first and the last; without a few that are far from all others."""
    counts = sorted((span * times.seconds, count) for times in all_times for span, count in times.counts.items())
    if not counts:
        return None
    begin, end = counts[0][0], max(times.last or 0 for times in all_times)
    few = int(sum(count for _, count in counts) * _TRIMMED)
    inner_begin, before = _cut(counts, few)
    inner_end, after = _cut(counts[::-1], few)
    width = max(times.seconds for times in all_times)
    if (inner_end + width - inner_begin) * 10 < end - begin:
        return Period(inner_begin, max(inner_end + width, inner_begin + _SHORTEST_SECONDS), before + after)
    return Period(begin, max(end, begin + _SHORTEST_SECONDS), 0)


def _cut(counts: Sequence[tuple[float, int]], few: int) -> tuple[float, int]:
    """Return the first moment after at most so many, and how many are before it."""
    passed = 0
    for moment, count in counts:
        if passed + count > few:
            return moment, passed
        passed += count
    return counts[-1][0], passed


def _gaps(contents: Contents, period: Period) -> list[Gap]:
    found = contents.coverage.times.gaps()
    return [gap for gap in found if gap.end > period.begin and gap.begin < period.end]


def _drawing(entries: Times, levels: dict[Level, Times], period: Period, gaps: Sequence[Gap]) -> Html:
    rows = [_Row(str(level), levels[level], "alert", _ALERTS) for level in reversed(Level) if level in levels]
    rows.append(_Row("volume", entries, "audit entry", _VOLUME))
    height = sum(row.height + _LABEL for row in rows)
    parts = [_gap(gap, period, height) for gap in gaps[:_MOST_GAPS]]
    foot = 0
    for row in rows:
        foot += row.height + _LABEL
        parts += _drawn(row, period, foot)
    title = tag("title", f"Alerts by level and audit entries from {clock(period.begin)} to {clock(period.end)} UTC")
    drawing = tag("svg", title, *parts, width="100%", height=height + 1, role="img", class_="timeline")
    return join((drawing, _axis(period)))


def _drawn(row: _Row, period: Period, foot: int) -> Iterator[Html]:
    """Yield the name of a row, its bars and the line below them; the highest bar is as high as the row."""
    counts = row.times.between(period.begin, period.end, _PARTS)
    most = max(counts)
    name = "audit entries" if row.kind == "volume" else row.kind
    text = f"{name}: {row.times.total:,}" + (f", at most {most:,} in a bar" if most > 1 else "")
    yield tag("text", text, x=0, y=foot - row.height - 5, class_="label")
    for number, count in enumerate(counts):
        if count:
            yield _bar(number, count, max(round(row.height * count / most), 3), foot, period, row)
    yield tag("line", x1=0, x2="100%", y1=foot, y2=foot, class_="axis")


def _bar(number: int, count: int, high: int, foot: int, period: Period, row: _Row) -> Html:
    begin = period.begin + (period.end - period.begin) * number / _PARTS
    title = tag("title", f"{clock(begin)}: {counted(count, row.unit)}")
    x, width = f"{number * 100 / _PARTS:.2f}%", f"{80 / _PARTS:.2f}%"
    return tag("g", title, tag("rect", x=x, y=foot - high, width=width, height=high, class_=row.kind))


def _gap(gap: Gap, period: Period, height: int) -> Html:
    begin, end = (min(max(_percent(moment, period), 0.0), 100.0) for moment in gap)
    title = tag("title", f"no audit entry for {duration(gap.end - gap.begin)} from {clock(gap.begin)}")
    return tag(
        "g", title, tag("rect", x=f"{begin:.2f}%", y=0, width=f"{end - begin:.2f}%", height=height, class_="gap")
    )


def _percent(moment: float, period: Period) -> float:
    return (moment - period.begin) / (period.end - period.begin) * 100


def _axis(period: Period) -> Html:
    middle = (period.begin + period.end) / 2
    return tag("div", *(tag("span", clock(moment)) for moment in (period.begin, middle, period.end)), class_="ticks")


def _caption(period: Period, gaps: Sequence[Gap], contents: Contents) -> Html:
    each = duration((period.end - period.begin) / _PARTS) if period.end - period.begin >= _PARTS else "less than 1 s"
    texts = [f"Times are UTC; a bar stands for {each}."]
    if gaps:
        texts.append(f"Shaded: {counted(len(gaps), 'gap')} without any audit entry, {longest_gap(gaps)}.")
    elif contents.coverage.times.counts:
        texts.append("There is no unusually long time without an audit entry.")
    if period.outside:
        texts.append(f"Not drawn: {counted(period.outside, 'record')} with a time far from all others.")
    if undated := sum(times.without for times in contents.cases.levels.values()):
        texts.append(f"Not drawn: {counted(undated, 'alert')} without a time.")
    if contents.counts.server:
        texts.append("Messages of the server log are not drawn, only the alerts on them.")
    return tag("figcaption", " ".join(texts))
