"""What filters silence is counted, by rule and filter, and changes nothing else."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.unit.rules.sigma import sigma
from vaultwatch.cli import main
from vaultwatch.detection.waiting import Waiting

FILTER = """title: Ours
logsource: {{product: vault, service: {service}}}
filter:
  rules: {rules}
  ours: {{{field}: {value}}}
  condition: not ours
"""
MANY_SEALS = """title: Many seals
name: many_seals
level: low
correlation:
  type: event_count
  rules: [own_seal]
  timespan: 1h
  condition: {gte: 3}
"""
SECRET = "hvs." + "a" * 24


def entry(event: str, caller: str, kind: str = "request", path: str = "sys/seal", **members: Any) -> str:
    request = {"id": event, "operation": "update", "path": path, **members}
    time, auth = "2026-11-21T07:29:41.1Z", {"display_name": caller}
    return json.dumps({"time": time, "type": kind, "auth": auth, "request": request}) + "\n"


class Folder:
    """A folder of rules and filters, a log, and `check` on them."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.log = folder / "audit.log"
        (folder / "rules").mkdir()
        self.rule("own_seal", "s: {request.path: sys/seal}\ncondition: s")
        self.outcomes: list[str] = []
        self._capfd = capfd

    def rule(self, name: str, detection: str, **kind: str) -> None:
        self.write(f"{name}.yml", sigma(detection, name=name, **kind))

    def filter(self, name: str, value: str, rules: str = "any", field: str = "auth.display_name", **kind: str) -> None:
        text = FILTER.format(rules=rules, field=field, value=value, service=kind.get("service", "audit"))
        self.write(name, text)

    def write(self, name: str, text: str) -> None:
        (self.folder / "rules" / name).write_text(text)

    def check(self, *options: str) -> tuple[list[str], list[str], list[list[Any]]]:
        """Return the rules that raised alerts, what stderr says of them, and what --stats counts."""
        stats = self.folder / "stats"
        arguments = ["--rules", str(self.folder / "rules"), "--format", "json", "--stats", str(stats), *options]
        main(["check", *arguments, str(self.log)])
        out, err = self._capfd.readouterr()
        self.outcomes = [json.loads(line)["outcome"] for line in out.splitlines()]
        counted = json.loads(stats.read_text())["silenced"]
        said = err.replace(" by rules/", " by ").splitlines()[:-1]
        shown = [line for line in said if "nothing to look at" not in line]
        return (
            [json.loads(line)["rule"] for line in out.splitlines()],
            shown,
            [[one["rule"], Path(one["by"]).name, one["matches"]] for one in counted],
        )


@pytest.fixture
def own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Folder]:
    """The folder; what `check` changes in the garbage collector is undone."""
    threshold = gc.get_threshold()
    yield Folder(tmp_path, capfd)
    gc.set_threshold(*threshold)
    gc.unfreeze()


def test_each_filter_is_named_with_what_it_silenced_of_each_rule(own: Folder) -> None:
    own.rule("own_update", "s: {request.operation: update}\ncondition: s")
    own.filter("ci.yml", "ci")
    own.filter("ann.yml", "ann", "[own_update]")
    own.filter("nobody.yml", "nobody")
    own.log.write_text("".join(entry(f"e{n}", caller) for n, caller in enumerate(("ci", "ci", "ann", "eve"))))
    rules, said, counted = own.check()
    assert sorted(rules) == ["own_seal", "own_seal", "own_update"]
    assert said == ["alerts silenced: own_seal by ci.yml (2), own_update by ci.yml (2), own_update by ann.yml (1)"]
    assert counted == [["own_seal", "ci.yml", 2], ["own_update", "ci.yml", 2], ["own_update", "ann.yml", 1]]


def test_an_event_is_silenced_once_however_many_entries_it_has(own: Folder) -> None:
    own.filter("ci.yml", "ci")
    own.log.write_text((entry("e1", "ci") + entry("e1", "ci", "response")) * 2 + entry("e2", "ci", "response"))
    assert own.check() == ([], ["alerts silenced: own_seal by ci.yml (2)"], [["own_seal", "ci.yml", 2]])


def test_what_is_silenced_takes_no_place_of_what_waits_for_its_response(
    own: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.filter("ci.yml", "ci")
    others = "".join(entry(f"c{n}", "ci") for n in range(3))
    own.log.write_text(entry("e1", "eve") + others + entry("e1", "eve", "response"))
    monkeypatch.setattr("vaultwatch.detection.detector.Waiting", partial(Waiting, max_events=1))
    counted = own.check()[2]
    assert (own.outcomes, counted) == (["succeeded"], [["own_seal", "ci.yml", 3]])


def test_no_alert_is_made_of_what_is_silenced(own: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    own.filter("ci.yml", "ci")
    own.log.write_text(entry("e1", "ci"))
    monkeypatch.setattr("vaultwatch.findings.found.alert_of", None)
    assert own.check("--principal", "ci", "--since", "2026-11-21T00:00:00Z")[2] == [["own_seal", "ci.yml", 1]]


def test_what_would_raise_no_alert_is_not_silenced(own: Folder) -> None:
    """A rule that is experimental, and one that only a correlation counts."""
    own.rule("own_new", "s: {request.path: sys/seal}\ncondition: s", more="status: experimental\n")
    own.rule("own_off", "s: {request.path: sys/seal}\ncondition: s", more="status: experimental\n")
    own.write("many_seals.yml", MANY_SEALS)
    own.write("overrides.yml", "own_off: {enabled: false}\n")
    own.filter("ci.yml", "ci")
    own.log.write_text(entry("e1", "ci"))
    assert own.check() == ([], [], [])
    own.write("many_seals.yml", MANY_SEALS + "  generate: true\n")
    assert own.check()[2] == [["own_seal", "ci.yml", 1]]


def test_a_record_that_two_filters_except_counts_for_both(own: Folder) -> None:
    own.filter("ci.yml", "ci")
    own.filter("seal.yml", "sys/seal", field="request.path")
    own.log.write_text(entry("e1", "ci"))
    assert own.check()[2] == [["own_seal", "ci.yml", 1], ["own_seal", "seal.yml", 1]]


def test_a_disabled_rule_is_silenced_by_its_overrides(own: Folder) -> None:
    own.rule("own_update", "s: {request.operation: update}\ncondition: s")
    own.filter("ci.yml", "ci")
    own.write("overrides.yml", "own_seal: {enabled: false}\n")
    own.log.write_text(entry("e1", "ci") + entry("e2", "eve"))
    rules, said, _ = own.check()
    assert rules == ["own_update"]
    assert said == ["alerts silenced: own_seal by overrides.yml (2), own_update by ci.yml (1)"]


def test_messages_of_the_server_log_are_silenced_too(own: Folder) -> None:
    own.rule("own_sealed", "s: {message|contains: sealed}\ncondition: s", service="server")
    own.filter("core.yml", "core", field="module", service="server")
    own.log.write_text("".join(f"2026-11-21T07:29:41.1Z [INFO]  {it}: vault is sealed\n" for it in ("core", "ha")))
    assert own.check() == (
        ["own_sealed"],
        ["alerts silenced: own_sealed by core.yml (1)"],
        [["own_sealed", "core.yml", 1]],
    )


@pytest.mark.parametrize(
    "options",
    [["--level", "high"], ["--exclude", "own_*"], ["--principal", "eve"], ["--until", "2026-11-21T00:00:00Z"]],
)
def test_an_alert_that_would_not_be_shown_is_not_silenced(own: Folder, options: list[str]) -> None:
    own.filter("ci.yml", "ci")
    own.log.write_text(entry("e1", "ci"))
    assert own.check(*options) == ([], [], [])
    assert own.check("--rule", "own_seal")[2] == [["own_seal", "ci.yml", 1]]


def test_what_is_silenced_leads_to_no_search_for_secrets(own: Folder) -> None:
    """An entry is searched for secrets if a rule matches it, or its request: one that is silenced does not."""
    own.rule("own_secret", "s: {secret_in_clear: true}\ncondition: s")
    own.log.write_text("".join(entry("e1", "ci", kind, data={"key": SECRET}) for kind in ("request", "response")))
    assert sorted(own.check()[0]) == ["own_seal", "own_secret"]
    own.filter("ci.yml", "ci", "[own_seal]")
    assert own.check()[0] == []


def test_a_silenced_rule_is_not_among_those_that_could_not_be_decided(own: Folder) -> None:
    own.rule("own_key", "s: {request.data.key: a}\ncondition: s")
    own.filter("ci.yml", "ci")
    own.log.write_text(entry("e1", "eve", path="x", data={str(number): "x" for number in range(10_001)}))
    own.check()
    assert json.loads((own.folder / "stats").read_text())["undecided"] == {"own_key": 1}
