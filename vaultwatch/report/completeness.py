"""What was read, and what is missing from it: per audit device, two devices side by side, and per log."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from itertools import combinations

from vaultwatch.printable import counted
from vaultwatch.report.contents import Contents
from vaultwatch.report.coverage import LogCounts
from vaultwatch.report.devices import Device
from vaultwatch.report.elements import code, command, marked, note, section, table, when
from vaultwatch.report.markup import Child, Html, join, tag
from vaultwatch.report.times import clock, longest_gap

_MOST_DEVICES, _MOST_PAIRS, _MOST_LOGS, _MOST_REASONS = 20, 10, 50, 10


def completeness(contents: Contents) -> Html:
    """Return the section."""
    devices = list(contents.coverage.devices.values())
    logs = list(contents.coverage.logs.values())
    folder = contents.folder
    parts = [_devices(devices, folder), _pairs(devices, folder), _logs(logs, folder), _own(contents)]
    parts += [_foreign(contents.notes), _reasons(contents.reasons)]
    return section("completeness", "Completeness", *parts)


def _devices(devices: Sequence[Device], folder: str) -> Html | None:
    if not devices:
        return None
    order = sorted(devices, key=_lacks, reverse=True)
    rows = [_device(device, folder) for device in order[:_MOST_DEVICES]]
    others = len(order) - len(rows)
    caption = "By audit device: rotated files of one log are one device" + (
        f"; {others:,} more not shown" if others else ""
    )
    return table(caption, ["device", "#entries", "#no response", "#no request", "gaps", "from", "to (UTC)"], rows)


def _lacks(device: Device) -> tuple[int, int]:
    return device.requests.count + device.responses.count + len(device.times.gaps()), device.entries


def _device(device: Device, folder: str) -> list[Child]:
    times = device.times
    return [
        code(device.name.removeprefix(folder)),
        device.entries,
        marked(device.requests.count),
        marked(device.responses.count),
        _gaps(device),
        when(clock(times.first)),
        when(clock(times.last)),
    ]


def _gaps(device: Device) -> Child:
    gaps = device.times.gaps()
    if not gaps:
        return tag("span", "none", class_="zero")
    return f"{len(gaps):,}, {longest_gap(gaps)}"


def _pairs(devices: Sequence[Device], folder: str) -> Html:
    """Return what two devices of one server show about each other."""
    pairs = [pair for pair in combinations(devices, 2) if pair[0].logs_same_server_as(pair[1])]
    if not pairs:
        return note(
            "No two of these logs are from devices of the same server. One device alone cannot show that nothing was "
            "removed from its log: two can be compared."
        )
    rows = [_pair(*pair, folder) for pair in pairs[:_MOST_PAIRS]]
    others = len(pairs) - len(rows)
    caption = "Devices of one server, side by side" + (f"; {counted(others, 'more pair')} not shown" if others else "")
    differing = next((pair for pair in pairs if not pair[0].equals(pair[1])), None)
    return join((table(caption, ["device", "other device", "#entries", "#other's", "result"], rows), _hint(differing)))


def _pair(one: Device, other: Device, folder: str) -> list[Child]:
    result = "the same entries" if one.equals(other) else tag("strong", _difference(one, other))
    names = (code(device.name.removeprefix(folder)) for device in (one, other))
    return [*names, one.entries, other.entries, result]


def _difference(one: Device, other: Device) -> str:
    lacking = abs(one.entries - other.entries)
    if not lacking:
        return "as many, but not the same entries"
    return f"they differ: {'the first' if one.entries < other.entries else 'the other'} lacks at least {lacking:,}"


def _hint(pair: tuple[Device, Device] | None) -> Html | None:
    if pair is None:
        return None
    names = " ".join(shlex.quote(device.name) for device in pair)
    return tag(
        "div", note("Which entries one of them lacks, and what differs:"), command(f"vaultwatch reconcile {names}")
    )


def _logs(logs: Sequence[LogCounts], folder: str) -> Html:
    order = sorted(logs, key=lambda log: -log.rejected)
    rows = [_log(log, folder) for log in order[:_MOST_LOGS]]
    rest = order[_MOST_LOGS:]
    lines = sum(log.rejected for log in rest)
    others = f"; {counted(len(rest), 'more log')}, with {counted(lines, 'unreadable line')}, not shown" if rest else ""
    columns = ["log", "#audit entries", "#server messages", "#unreadable", "from", "to (UTC)"]
    return table(f"By log{others}", columns, rows)


def _log(log: LogCounts, folder: str) -> list[Child]:
    times = (when(clock(log.first)), when(clock(log.last)))
    return [code(log.name.removeprefix(folder)), log.audit, log.server, marked(log.rejected), *times]


def _own(contents: Contents) -> Html | None:
    if not contents.own:
        return None
    others = contents.own - len(contents.own_names)
    caption = "Left out, because vaultwatch wrote it: alerts and rejected lines" + (
        f"; {counted(others, 'log')} more" if others else ""
    )
    return table(caption, ["log"], [[code(name.removeprefix(contents.folder))] for name in contents.own_names])


def _foreign(notes: Sequence[str]) -> Html | None:
    if not notes:
        return None
    others = len(notes) - _MOST_LOGS
    caption = "Files that are no logs of Vault" + (f"; {counted(others, 'file')} more" if others > 0 else "")
    return table(caption, ["file, and why"], [[text] for text in notes[:_MOST_LOGS]])


def _reasons(reasons: Sequence[tuple[str, int]]) -> Html | None:
    if not reasons:
        return None
    return table("Why lines are unreadable", ["reason", "#lines"], list(_reason_rows(reasons)))


def _reason_rows(reasons: Sequence[tuple[str, int]]) -> Iterator[list[Child]]:
    for reason, count in reasons[:_MOST_REASONS]:
        yield [reason, count]
    if rest := reasons[_MOST_REASONS:]:
        yield [tag("em", f"{len(rest):,} more"), sum(count for _, count in rest)]
