"""A week of a cluster on which nothing happens, and what the shipped rules notify people of: `python -m bench.week`.

Its clients log in, renew their tokens and use secrets of their own; a pipeline with a policy of its own deploys, and
sets up a new application each working day; a backup runs each night; once the active node steps down. Calls have the
shapes of the recordings, and the same seed gives the same week. The result goes to rules/week.json, for the catalogue.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import NamedTuple

from bench.calls import Call, call, ordinary
from bench.corpus import LAYOUTS, lines_of
from bench.world import APPROLE, KV, ROOT, SYS, TOKEN, Principal, World, build, hashed
from vaultwatch.alerts import Alert, alert_of
from vaultwatch.detection.detector import Detector
from vaultwatch.dispatch.decisions import State, file_event
from vaultwatch.dispatch.groups import file_alert
from vaultwatch.reading.identity import parse_time
from vaultwatch.rules.facts import Level, Service
from vaultwatch.rules.pack import Rule, shipped_rules

MONDAY = 1_795_392_000  # 2026-11-23T00:00:00Z
DAY, HOUR = 86_400, 3_600
SECRETS_OF_A_CLIENT = 6
LEADER_CHANGE = 2 * DAY + 4 * HOUR
RESULT = Path(__file__).parents[1] / "rules" / "week.json"
_NOBODY = b'"10.9.8.7"'
_PORTION = 2_000
_LEADER_CHANGE = (
    "[INFO]  core: stepping down from active operation to standby",
    "[INFO]  core: pre-seal teardown starting",
    "[INFO]  core: pre-seal teardown complete",
    "[WARN]  storage.raft: heartbeat timeout reached, starting election: last-leader-addr= last-leader-id=",
    "[INFO]  storage.raft: election won: term=4 tally=2",
    '[INFO]  storage.raft: entering leader state: leader="Node at 10.0.0.12:8201 [Leader]"',
    "[INFO]  core: acquired lock, enabling active operation",
    "[INFO]  core: post-unseal setup starting",
    "[INFO]  core: post-unseal setup complete",
)


class Line(NamedTuple):
    """A line of a log."""

    service: Service
    line: bytes


class Raised(NamedTuple):
    """What the rules raised: lines, and alerts and notifications by day and rule."""

    lines: int
    alerts: Counter[tuple[int, str]]
    notifications: Counter[tuple[int, str]]


def week(*, clients: int, days: int, calls_a_day: int, seed: int) -> Iterator[Line]:
    """Yield the logs of the cluster from a Monday on.

    Args:
        clients: How many applications and people there are.
        days: How long it lasts.
        calls_a_day: How often each of them calls Vault, on average.
        seed: The same gives the same lines.
    """
    rng = Random(seed)
    world = build(rng, _rfc3339(MONDAY))
    worlds = [_own(rng, world, who) for who in world.principals[:clients]]
    planned = iter(sorted(_planned(rng, world, days), key=lambda one: one[0]))
    due = next(planned, None)
    at = 0.0
    while (at := at + rng.expovariate(clients * calls_a_day / DAY)) < days * DAY:
        while due is not None and due[0] <= at:
            yield from _written(rng, *due)
            due = next(planned, None)
        one = worlds[rng.randrange(clients)]
        yield from _written(rng, at, ordinary(rng, one), one.principals[0].address)


def raised(rules: Sequence[Rule], lines: Iterator[Line]) -> Raised:
    """Run the rules over the lines, and dispatch over their alerts, each at its own time."""
    services: tuple[Service, ...] = ("audit", "server")
    detectors = {service: Detector(rules, source=service, zone=UTC) for service in services}
    state, seen = State(), set[str]()
    found = Raised(0, Counter(), Counter())
    count, portions = 0, {service: list[bytes]() for service in detectors}
    for count, (service, line) in enumerate(lines, 1):  # noqa: B007  the last one is the number of lines
        portions[service].append(line)
        if len(portions[service]) >= _PORTION or service == "server":
            _file(map(alert_of, detectors[service].feed(portions[service])), state, seen, found)
            portions[service] = []
    for service, detector in detectors.items():
        verdicts = [*detector.feed(portions[service]), *detector.flush()]
        _file(map(alert_of, verdicts), state, seen, found)
    return found._replace(lines=count)


def _file(alerts: Iterator[Alert], state: State, seen: set[str], found: Raised) -> None:
    """Dispatch the alerts that were not seen before; of a request and its response, the response's counts."""
    new = {alert.id: alert for alert in alerts if alert.id not in seen}
    for alert in new.values():
        seen.add(alert.id)
        moment = parse_time(alert.time)
        now = moment.timestamp() if moment else float(MONDAY)
        key = int(now - MONDAY) // DAY, alert.rule
        found.alerts[key] += 1
        (recorded,) = file_event([file_alert(alert)], state, now)
        found.notifications[key] += recorded.disposition == "first"
        state.drafts.clear()


def _own(rng: Random, world: World, who: Principal) -> World:
    """Return the world as one client sees it: itself, and the secrets that it uses."""
    return replace(world, principals=[who], secrets=rng.sample(world.secrets, SECRETS_OF_A_CLIENT))


def _planned(rng: Random, world: World, days: int) -> Iterator[tuple[float, Call | str, str]]:
    """Yield what happens by a plan, each with its second in the week and the caller's address."""
    pipeline, backup = (_job(rng, name) for name in ("pipeline", "backup"))
    for day in range(days):
        start = day * DAY
        for call_number, one in enumerate(_backup(backup)):
            yield start + 2 * HOUR + call_number, one, backup.address
        for deployment in range(20 if day < 5 else 0):
            at = start + 8 * HOUR + deployment * HOUR // 2
            for call_number, one in enumerate(_deployment(rng, world, pipeline)):
                yield at + call_number, one, pipeline.address
        for call_number, one in enumerate(_new_application(pipeline, day) if day < 5 else ()):
            yield start + 14 * HOUR + call_number, one, pipeline.address
    if days * DAY > LEADER_CHANGE:
        yield LEADER_CHANGE, replace(call(world.admin, "update", SYS, "step-down"), answered=False), world.admin.address
        yield from ((LEADER_CHANGE + number, text, "") for number, text in enumerate(_LEADER_CHANGE, 1))


def _job(rng: Random, name: str) -> Principal:
    address = f"10.0.9.{rng.randrange(1, 255)}"
    job = Principal(name, "approle", [name, "default"], {"role_name": name}, APPROLE[0], ROOT, address, 1_200, name)
    job.log_in(_rfc3339(MONDAY))
    return job


def _login(who: Principal) -> Call:
    return Call(operation="update", path=who.mount.point + "login", mount=who.mount, login=who)


def _backup(who: Principal) -> Iterator[Call]:
    yield _login(who)
    yield call(who, "read", SYS, "storage/raft/snapshot")
    yield call(who, "update", TOKEN, "revoke-self")


def _deployment(rng: Random, world: World, who: Principal) -> Iterator[Call]:
    yield _login(who)
    for secret in rng.sample(world.secrets, 5):
        data = {"data": {key: hashed(secret.path) for key in secret.keys}}
        yield call(who, "update", KV[0], "data/" + secret.path, data, {"version": 2})
    yield call(who, "update", APPROLE[0], "role/app/secret-id", None, {"secret_id": hashed("secret id")})
    yield call(who, "update", TOKEN, "revoke-self")


def _new_application(who: Principal, number: int) -> Iterator[Call]:
    yield _login(who)
    yield call(who, "update", SYS, f"policies/acl/app-{number}", {"policy": hashed("policy")})
    yield call(who, "create", APPROLE[0], f"role/app-{number}", {"token_policies": [hashed("app")]})


def _written(rng: Random, at: float, one: Call | str, address: str) -> Iterator[Line]:
    if isinstance(one, str):
        yield Line("server", f"{_rfc3339(MONDAY + at)[:-1]}.000Z {one}\n".encode())
        return
    layout = LAYOUTS[rng.randrange(len(LAYOUTS))]
    for _, line in lines_of(rng, one, int((MONDAY + at) * 1e9), layout):
        yield Line("audit", line.replace(_NOBODY, json.dumps(address).encode()))


def _rfc3339(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}Z"


def loud(rules: Sequence[Rule], found: Raised) -> list[int]:
    """Return how many notifications above level low there were on each day that had any."""
    level = {rule.name: rule.compiled.level for rule in rules}
    days: Counter[int] = Counter()
    for (day, rule), count in found.notifications.items():
        days[day] += count * (level[rule].rank > Level.LOW.rank)
    return [days[day] for day in sorted(days)]


def main(arguments: list[str] | None = None) -> None:
    """Generate a week, print what it raised, and write it for the catalogue."""
    parser = argparse.ArgumentParser(prog="python -m bench.week", description=main.__doc__)
    parser.add_argument("--clients", type=int, default=1_000)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--calls-a-day", type=int, default=48)
    parser.add_argument("-o", "--output", type=Path, default=RESULT)
    given = parser.parse_args(arguments)
    rules = shipped_rules()
    found = raised(rules, week(clients=given.clients, days=given.days, calls_a_day=given.calls_a_day, seed=1))
    names = sorted(rule.name for rule in rules)
    by_rule = {
        name: [sum(n for (_, rule), n in counter.items() if rule == name) for counter in found[1:]] for name in names
    }
    facts = {
        "clients": given.clients,
        "days": given.days,
        "entries": found.lines,
        "loud": loud(rules, found),
        "raised": by_rule,
    }
    given.output.write_text(json.dumps(facts, indent=1) + "\n")
    print(f"{found.lines:,} lines, {loud(rules, found)} notifications above low by day")


if __name__ == "__main__":
    main()
