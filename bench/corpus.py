"""Generates a corpus of audit entries: `python -m bench.corpus -n 300000 --seed 1 --layout mixed -o FILE`.

The same arguments give the same bytes under any hash seed. Sizes and shapes are those of the recordings of real
servers; it uses the standard library only.
"""

from __future__ import annotations

import argparse
import heapq
import json
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import BinaryIO, Literal, cast, get_args

from bench.calls import Call, ordinary
from bench.world import Json, Mount, build, uuid
from bench.worthy import WORTHY

Layout = Literal["classic", "sorted", "time-first"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
Traffic = Literal["quiet", "busy", "unique"]
"""Whose paths no shipped rule names; of which rules name a quarter by path or namespace; with each path only once."""
TRAFFICS: tuple[Traffic, ...] = get_args(Traffic)
Style = Literal["spaced", "sorted-ascii", "escaped-slash"]
STYLES: tuple[Style, ...] = get_args(Style)

START_SECONDS = 1_795_168_800  # 2026-11-20T10:00:00Z, a Friday
CALLS_PER_SECOND = 1_000
# No call that must raise an alert this near the end, which would cut off its response.
QUIET_END = 100

_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_compact_sorted = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


def entries(
    count: int, seed: int, layout: str = "mixed", alert_rate: float = 0.001, traffic: Traffic = "quiet"
) -> Iterator[tuple[str, bytes]]:
    """Yield `count` entries in the order of their times: the rule that must match ("" for none), and the line.

    Both entries of a call that must raise an alert name the rule; `alert_rate` is their share. `layout` is one of
    `LAYOUTS` (key orders of Vault to 1.16 and OpenBao, of 1.17 to 1.20, of today) or "mixed", a third each.
    """
    rng = Random(seed)
    world = build(rng, _rfc3339(START_SECONDS * 10**9, 0), busy=traffic == "busy")
    pending: list[tuple[int, int, str, bytes]] = []
    worthy = list(WORTHY.items())
    now_ns, made, written, alerts = START_SECONDS * 10**9, 0, 0, 0
    while written < count:
        now_ns += int(rng.expovariate(CALLS_PER_SECOND) * 1e9) + 1
        while pending and pending[0][0] <= now_ns and written < count:
            _, _, rule, line = heapq.heappop(pending)
            written += 1
            yield rule, line
        rule, call = "", None
        if rng.random() < alert_rate and made < count - QUIET_END:
            rule, make = worthy[alerts % len(worthy)]
            alerts += 1
            call = make(rng, world, world.principals[alerts % len(world.principals)])
        if call is None:
            call = ordinary(rng, world)
            if traffic == "unique":
                call = replace(call, path=_numbered(call.path, made))
        for at_ns, line in lines_of(rng, call, now_ns, _layout(rng, layout)):
            made += 1
            heapq.heappush(pending, (at_ns, made, rule, line))


def _numbered(path: str, number: int) -> str:
    """Return a path with a number, as a path of its own: that of a secret id in its role, since it ends as it does."""
    ending = "/secret-id" if path.endswith("/secret-id") else ""
    return f"{path.removesuffix(ending)}-{number}{ending}"


def write(
    out: BinaryIO, count: int, seed: int, layout: str = "mixed", alert_rate: float = 0.001, traffic: Traffic = "quiet"
) -> dict[str, int]:
    """Write a corpus to `out`; return how many calls each rule must match."""
    seen: dict[str, set[str]] = {}
    for rule, line in entries(count, seed, layout, alert_rate, traffic):
        out.write(line)
        if rule:
            seen.setdefault(rule, set()).add(json.loads(line)["request"]["id"])
    return {rule: len(ids) for rule, ids in sorted(seen.items())}


def reserialise(line: bytes, style: Style) -> bytes:
    """Return the same entry as another JSON encoder writes it, as a relay may."""
    entry = json.loads(line)
    if style == "spaced":
        return json.dumps(entry).encode() + b"\n"
    if style == "sorted-ascii":
        return json.dumps(entry, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    # JSON has slashes in strings only.
    return _compact(entry).replace("/", "\\/").encode() + b"\n"


def _layout(rng: Random, layout: str) -> Layout:
    if layout == "mixed":
        return LAYOUTS[int(rng.random() * len(LAYOUTS))]
    return LAYOUTS[LAYOUTS.index(cast(Layout, layout))]


def lines_of(rng: Random, call: Call, at_ns: int, layout: Layout) -> Iterator[tuple[int, bytes]]:
    """Return the entries of one call, each with its time."""
    if rng.random() < 0.2:
        at_ns += -at_ns % 1000  # the clocks of some hosts have microseconds
    newer = layout != "classic"
    request = _request(rng, call, newer)
    yield at_ns, _encode(_request_entry(call, request, newer, at_ns), layout)
    if call.login:
        call.login.log_in(_rfc3339(at_ns, 0))
    if call.answered:
        at_ns += 200_000 + int(rng.expovariate(1) * 2_000_000)
        yield at_ns, _encode(_response_entry(call, request, newer, at_ns), layout)


def _request_entry(call: Call, request: Json, newer: bool, at_ns: int) -> Json:
    if newer and call.mount:
        # Seen in 1.17 and 1.19: the response names the mount's accessor, the request of the same id does not.
        request = {key: value for key, value in request.items() if key != "mount_accessor"}
    error = call.error if call.failed_request else ""
    return _entry("request", _auth(call, newer), request, None, error, at_ns)


def _response_entry(call: Call, request: Json, newer: bool, at_ns: int) -> Json:
    auth = call.login.issued() if call.login else _auth(call, newer)
    return _entry("response", auth, request, _response(call, newer), call.error, at_ns)


def _entry(kind: str, auth: Json | None, request: Json, response: Json | None, error: str, at_ns: int) -> Json:
    entry: Json = {"time": _rfc3339(at_ns, 9), "type": kind}
    if auth is not None:
        entry["auth"] = auth
    entry["request"] = request
    if response is not None:
        entry["response"] = response
    if error:
        entry["error"] = error
    return entry


def _auth(call: Call, newer: bool) -> Json | None:
    if call.who and call.failed_request:
        return call.who.auth | {"policy_results": {"allowed": False}}
    if call.who:
        return call.who.newer_auth if newer else call.who.auth
    if call.mount and not call.bad_token:
        return {"policy_results": {"allowed": True}, "token_type": "default"}
    return None if newer and not call.bad_token else {"token_type": "default"}


def _request(rng: Random, call: Call, newer: bool) -> Json:
    request: Json = {"id": uuid(rng)}
    who = call.who
    if who and who.entity_id:
        request["client_id"] = who.entity_id
    request["operation"] = call.operation
    if call.mount:
        request |= _mount_fields(call.mount, "mount_running_version")
    if who:
        request |= {"client_token": who.token("token"), "client_token_accessor": who.token("accessor")}
    if newer and rng.random() < 0.3:
        request["headers"] = {"user-agent": ["Go-http-client/1.1"]}
    request |= {"namespace": call.namespace.logged(), "path": call.path}
    if call.data:
        request["data"] = call.data
    address = who.address if who else "10.9.8.7"
    return request | {"remote_address": address, "remote_port": 32_768 + rng.getrandbits(14)}


def _response(call: Call, newer: bool) -> Json | None:
    """Return `response`: for an empty answer, None since Vault 1.17, and an object without data before."""
    if newer and not call.answer and not call.login:
        return None
    response: Json = {"auth": call.login.issued()} if call.login else {}
    if call.mount:
        response |= _mount_fields(call.mount, "mount_running_plugin_version")
    return response | {"data": call.answer} if call.answer else response


def _mount_fields(mount: Mount, version_key: str) -> Json:
    return {
        "mount_point": mount.point,
        "mount_type": mount.type,
        "mount_accessor": mount.accessor,
        version_key: "v1.14.2+builtin.vault",
        "mount_class": "auth" if mount.auth else "secret",
    }


def _encode(entry: Json, layout: Layout) -> bytes:
    if layout == "classic":
        text = _compact(entry)
    elif layout == "sorted":
        text = _compact_sorted(entry)
    else:
        rest = {key: value for key, value in entry.items() if key != "time"}
        text = f'{{"time":"{entry["time"]}",{_compact_sorted(rest)[1:]}'
    # Go's encoder writes these three as escapes.
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e").encode() + b"\n"


def _rfc3339(at_ns: int, digits: int) -> str:
    """Return a time in UTC with up to `digits` decimals, without trailing zeros, as Go writes it."""
    seconds, fraction = divmod(at_ns, 10**9)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    decimals = f"{fraction:09d}"[:digits].rstrip("0")
    return f"{text}.{decimals}Z" if decimals else text + "Z"


def main(arguments: list[str] | None = None) -> int:
    """Run the command: write a corpus to a file or to stdout."""
    parser = argparse.ArgumentParser(prog="python -m bench.corpus", description="Write a corpus of audit entries.")
    parser.add_argument("-n", "--count", type=int, default=300_000, help="entries")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--layout", choices=(*LAYOUTS, "mixed"), default="mixed", help="key order")
    parser.add_argument("--traffic", choices=TRAFFICS, default="quiet")
    parser.add_argument("--alert-rate", type=float, default=0.001, help="share of calls that must raise an alert")
    parser.add_argument("-o", "--output", type=Path, help="file to write (default: stdout)")
    parser.add_argument("--expected", type=Path, help="where to write, as JSON, how many calls each rule must match")
    given = parser.parse_args(arguments)
    with given.output.open("wb") if given.output else nullcontext(sys.stdout.buffer) as out:
        expected = write(out, given.count, given.seed, given.layout, given.alert_rate, given.traffic)
    if given.expected:
        given.expected.write_text(json.dumps(expected))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
