"""The shipped rules on recordings of real servers: each labelled event raises one alert, ordinary work raises none."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from tests.unit.rules.raised import SETUP, rules_for
from vaultwatch.alerts import Alert, alert_of
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.line_reader import Source
from vaultwatch.reading.records import Rejected
from vaultwatch.rules.compiling.collection import compile_directories
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import Rule

ROOT = Path(__file__).resolve().parents[3]
RECORDINGS = ROOT / "tests" / "data" / "recordings"
PRODUCTS = ("vault-1.14.2", "openbao-2.6.2")
ROOT_USED = "audit_root_policy_used"
ORDINARY = ("ordinary-day", "ordinary-restart", "sighup", "crash")

COUNTED = {
    "mass-read": {"audit_secrets_read_in_bulk"},
    "login-attacks": {
        "audit_logins_failed_for_one_name",
        "audit_logins_failed_for_many_names",
        "audit_tokens_tried_from_one_address",
    },
    "denied-probing": {"audit_paths_denied_to_one_identity"},
}
"""The correlations that the scenarios raise alerts of."""

# The alerts from level low on that each scenario's server log must raise: the rule, and how often.
SERVER_ALERTS: dict[str, dict[str, int]] = {
    "setup-init": {"server_barrier_initialized": 1, "server_root_generation_finished": 1, "server_unsealed": 1},
    "setup-day1": {"server_auth_method_enabled": 2},
    "ordinary-restart": {"server_shutdown": 1, "server_sealed": 1, "server_unsealed": 1},
    "generate-root": {"server_root_generation_started": 2, "server_root_generation_finished": 1},
    "auth-changes": {"server_auth_method_enabled": 4},
    "audit-socket-down": {"server_audit_failed": 27},
    "rekey": {"server_rekey_started": 2, "server_rekey_finished": 1},
    "seal-and-return": {"server_sealed": 1, "server_unsealed": 1},
    "crash": {"server_unsealed": 1},
    "audit-all-fail": {"server_audit_failed": 9, "server_audit_blocked": 9},
}


@pytest.fixture(scope="module")
def rules() -> list[Rule]:
    return [Rule(compiled) for compiled in compile_directories([ROOT / "rules"])]


def alerts_on(rules: Iterable[Rule], lines: Iterable[bytes], source: Source) -> list[Alert]:
    """Return the alerts that a person is notified of, each once; a rejected line fails the test."""
    rejected: list[Rejected] = []
    detector = Detector(rules, source=source, zone=UTC, on_rejected=rejected.append)
    raised = map(alert_of, detector.feed(lines) + detector.flush())
    assert not rejected
    assert not detector.counts.rule_errors
    return [alert for alert in {alert.id: alert for alert in raised}.values() if not alert.staged]


def scenarios(product: str) -> list[Path]:
    index = json.loads((RECORDINGS / product / "index.json").read_text())
    found = [RECORDINGS / product / one["scenario"] for one in index["scenarios"]]
    return [folder for folder in found if folder.is_dir()]


def audit_lines(product: str, name: str = "audit.jsonl") -> Iterator[bytes]:
    for folder in scenarios(product):
        if (folder / name).exists():
            yield from (folder / name).read_bytes().splitlines(keepends=True)


def server_lines(folder: Path) -> list[bytes]:
    log = folder / "server.log"
    return log.read_bytes().splitlines(keepends=True) if log.exists() else []


def labels(product: str) -> Iterator[dict[str, Any]]:
    for folder in scenarios(product):
        if (folder / "labels.jsonl").exists():
            yield from map(json.loads, (folder / "labels.jsonl").read_text().splitlines())


def events(alerts: Iterable[Alert]) -> Counter[tuple[str, str]]:
    """Return what raised the alerts; the key of what was counted depends on the values of its group."""
    return Counter((alert.rule, "counted" if "counted" in alert.record else alert.event_key) for alert in alerts)


@pytest.mark.parametrize("product", PRODUCTS)
class TestAuditLog:
    def test_every_labelled_event_raises_one_alert_and_nothing_else_does(self, product: str, rules: list[Rule]) -> None:
        expected = Counter((rule, label["request_id"]) for label in labels(product) for rule in rules_for(label))
        counted = Counter((rule, "counted") for names in COUNTED.values() for rule in names)
        alerts = alerts_on(rules, audit_lines(product), "audit")
        assert len(expected) >= 100
        in_setup = [one for one in alerts if SETUP.get(one.path) == one.rule]
        assert len(in_setup) == len(SETUP)
        others = [one for one in alerts if one.rule != ROOT_USED and one not in in_setup]
        assert events(others) == expected + counted

    def test_every_event_of_a_root_token_raises_one_alert(self, product: str, rules: list[Rule]) -> None:
        entries = [json.loads(line) for line in audit_lines(product)]
        expected = {one["request"]["id"] for one in entries if "root" in one["auth"].get("policies", [])}
        alerts = alerts_on(rules, audit_lines(product), "audit")
        used = events(one for one in alerts if one.rule == ROOT_USED)
        assert used == Counter((ROOT_USED, key) for key in expected)
        assert {one["request_id"] for one in labels(product) if one["concept"] == "root-policy-used"} <= expected

    def test_only_attacks_in_numbers_raise_alerts_of_rules_that_count(self, product: str, rules: list[Rule]) -> None:
        for folder in scenarios(product):
            log = folder / "audit.jsonl"
            alerts = alerts_on(rules, log.read_bytes().splitlines(), "audit") if log.exists() else []
            counted = [one.rule for one in alerts if "counted" in one.record]
            assert sorted(counted) == sorted(COUNTED.get(folder.name, set())), folder.name

    def test_the_alert_has_the_outcome(self, product: str, rules: list[Rule]) -> None:
        outcomes = {(one.rule, one.event_key): one.outcome for one in alerts_on(rules, audit_lines(product), "audit")}
        seen = 0
        for label in labels(product):
            answered = any(entry.startswith("response") or entry.endswith("!") for entry in label["entries"])
            refused = "succeeded" if label["status"] < 400 else "failed"
            for rule in rules_for(label):
                assert outcomes[rule, label["request_id"]] == (refused if answered else "unknown"), label
                seen += 1
        assert seen >= 15

    def test_the_other_audit_device_raises_the_same_alerts(self, product: str, rules: list[Rule]) -> None:
        changes = RECORDINGS / product / "audit-device-changes"
        by_file, by_socket = (
            alerts_on(rules, (changes / name).read_bytes().splitlines(), "audit")
            for name in ("audit.jsonl", "audit-socket.jsonl")
        )
        assert {one.id for one in by_file} == {one.id for one in by_socket}
        assert by_file

    @pytest.mark.parametrize("scenario", ORDINARY)
    def test_ordinary_work_raises_no_alert(self, product: str, scenario: str, rules: list[Rule]) -> None:
        log = RECORDINGS / product / scenario / "audit.jsonl"
        assert alerts_on(rules, log.read_bytes().splitlines(), "audit") == []


def rewritten(lines: Iterable[bytes], change: Any) -> list[bytes]:
    out = []
    for line in lines:
        entry = json.loads(line)
        change(entry)
        out.append(json.dumps(entry).encode())
    return out


def rename_mounts(entry: dict[str, Any]) -> None:
    """Return the same entry from a server with other mount names."""
    request = entry["request"]
    point = request.get("mount_point", "")
    if request.get("mount_type") in (None, "system", "ns_system", "token", "identity", "cubbyhole"):
        return
    namespace = request["namespace"].get("path", "")
    here = point.removeprefix(namespace)
    renamed = "auth/corp/" if here.startswith("auth/") else f"team/{here.rstrip('/')}-eu/"
    assert request["path"].startswith(here)
    request["path"] = renamed + request["path"].removeprefix(here)
    for part in (request, entry.get("response", {})):
        if "mount_point" in part:
            part["mount_point"] = part["mount_point"].removesuffix(here) + renamed


def forget_mounts(entry: dict[str, Any]) -> None:
    """Return the same entry from a server that does not log mounts yet."""
    for part in (entry["request"], entry.get("response", {})):
        for name in [name for name in part if name.startswith("mount_")]:
            del part[name]


def forget_mount_points(entry: dict[str, Any]) -> None:
    """Return the same entry from Vault 1.5 to 1.13, with other mount names: it logs mount types but no mount points."""
    rename = {"secret/": "vals/", "pki/": "ca-eu/"}
    request = entry["request"]
    point = request.get("mount_point", "").removeprefix(request["namespace"].get("path", ""))
    if point in rename:
        request["path"] = rename[point] + request["path"].removeprefix(point)
    for part in (request, entry.get("response", {})):
        for name in [name for name in part if name.startswith("mount_") and name != "mount_type"]:
            del part[name]


def lose_auth(entry: dict[str, Any]) -> None:
    """Return the same entry from a server that leaves out empty members."""
    if entry["auth"].keys() <= {"token_type", "policy_results"}:
        del entry["auth"]


class TestOtherShapes:
    @pytest.fixture
    def own_rules(self, tmp_path: Path) -> list[Rule]:
        """Return the pack with the placeholders of the recordings."""
        (tmp_path / "placeholders.yml").write_text(
            "emergency_paths: [app/s1, emergency]\nguarded_certificate_roles: [web]\n"
            "forbidden_path_namespaces: [team-a/]\nforbidden_paths: [emergency]\n"
        )
        return [Rule(compiled) for compiled in compile_directories([ROOT / "rules", tmp_path])]

    @pytest.mark.parametrize("product", PRODUCTS)
    def test_other_mount_names_change_nothing(self, product: str, own_rules: list[Rule]) -> None:
        default = events(alerts_on(own_rules, audit_lines(product), "audit"))
        renamed = events(alerts_on(own_rules, rewritten(audit_lines(product), rename_mounts), "audit"))
        assert renamed == default
        fired = Counter(rule for rule, _ in default)
        assert fired["audit_emergency_path_used"] >= 10
        assert fired["audit_guarded_certificate_issued"] >= 5

    @pytest.mark.parametrize("product", PRODUCTS)
    def test_other_mount_names_change_nothing_where_only_the_type_is_logged(
        self, product: str, own_rules: list[Rule]
    ) -> None:
        default = events(alerts_on(own_rules, audit_lines(product), "audit"))
        older = events(alerts_on(own_rules, rewritten(audit_lines(product), forget_mount_points), "audit"))
        assert older == default

    def test_a_mount_within_a_namespace_counts(self, own_rules: list[Rule]) -> None:
        alerts = alerts_on(own_rules, audit_lines("openbao-2.6.2"), "audit")
        namespaces = {(one.rule, one.namespace) for one in alerts if one.path.startswith("secret/data/emergency")}
        assert ("audit_emergency_path_used", "break-glass/") in namespaces

    def test_entries_without_a_mount_raise_the_same_alerts(self, rules: list[Rule]) -> None:
        lines = list(audit_lines("vault-1.14.2"))
        older = rewritten(lines, forget_mounts)
        assert events(alerts_on(rules, older, "audit")) == events(alerts_on(rules, lines, "audit"))

    @pytest.mark.parametrize("product", PRODUCTS)
    def test_entries_without_auth_raise_the_same_alerts(self, product: str, rules: list[Rule]) -> None:
        lines = list(audit_lines(product))
        without = rewritten(lines, lose_auth)
        assert any(b'"auth"' not in line for line in without)
        assert events(alerts_on(rules, without, "audit")) == events(alerts_on(rules, lines, "audit"))


@pytest.mark.parametrize("product", PRODUCTS)
class TestServerLog:
    def test_each_scenario_raises_the_expected_alerts_and_no_others(self, product: str, rules: list[Rule]) -> None:
        for folder in scenarios(product):
            alerts = alerts_on(rules, server_lines(folder), "server")
            raised = Counter(one.rule for one in alerts if one.level is not Level.INFORMATIONAL)
            assert raised == SERVER_ALERTS.get(folder.name, {}), folder.name

    def test_lines_with_syslog_headers_raise_the_same_alerts(self, product: str, rules: list[Rule]) -> None:
        for folder in scenarios(product):
            lines = [b"Nov 21 07:29:31 vault-a vault[812]: " + line for line in server_lines(folder)]
            alerts = alerts_on(rules, lines, "server")
            raised = Counter(one.rule for one in alerts if one.level is not Level.INFORMATIONAL)
            assert raised == SERVER_ALERTS.get(folder.name, {}), folder.name

    def test_every_warning_and_every_error_is_counted(self, product: str, rules: list[Rule]) -> None:
        lines = [line for folder in scenarios(product) for line in server_lines(folder)]
        raised = Counter(one.rule for one in alerts_on(rules, lines, "server"))
        assert raised["server_warning"] == sum(b"[WARN]" in line or b'"@level":"warn"' in line for line in lines)
        assert raised["server_error"] == sum(b"[ERROR]" in line or b'"@level":"error"' in line for line in lines)

    @pytest.mark.parametrize("scenario", ORDINARY)
    def test_ordinary_work_raises_only_the_alerts_of_a_restart(
        self, product: str, scenario: str, rules: list[Rule]
    ) -> None:
        alerts = alerts_on(rules, server_lines(RECORDINGS / product / scenario), "server")
        notified = [one for one in alerts if one.level is not Level.INFORMATIONAL]
        assert {one.level for one in notified} <= {Level.LOW}
        assert {one.rule for one in notified} <= {"server_sealed", "server_unsealed", "server_shutdown"}
