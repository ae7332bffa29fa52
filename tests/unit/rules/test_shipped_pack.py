"""The shipped pack is compiled from rules/, and every rule in it passes its fixtures."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.dispatch.desk import Desk
from vaultwatch.alerts import alert_of
from vaultwatch.cli.rule_fixtures import failures
from vaultwatch.cli.rule_pages import why
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.dispatch.groups import file_alert
from vaultwatch.rules import pack
from vaultwatch.rules.compiling import compile_directories, compile_few, compile_pack, read_all, read_placeholders
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import CompiledRule, Rule, shipped_rules

ROOT = Path(__file__).parents[3]
RULES = ROOT / "rules"
COUNTED = {
    "audit_breakglass_namespace_used",
    "audit_hash_computed",
    "audit_root_policy_used",
    "audit_root_token_created",
    "audit_secret_in_clear",
    "audit_token_accessors_listed",
}
"""Rules of which an act on something else is counted: who uses a policy or a namespace, or what says little."""
PLACEHOLDERS: dict[str, list[Any]] = yaml.safe_load((RULES / "placeholders.yaml").read_text())


def test_the_pack_is_byte_for_byte_what_the_rules_compile_to() -> None:
    """If it fails, run: vaultwatch rules compile -o vaultwatch/rules/pack.json"""
    assert (ROOT / "vaultwatch" / "rules" / "pack.json").read_bytes() == compile_pack([RULES])


def test_every_rule_is_a_file_of_its_own_name_with_fixtures_of_both_kinds() -> None:
    names = sorted(rule.name for rule in shipped_rules())
    assert names == sorted(path.stem for path in RULES.rglob("*.yml"))
    assert names == sorted(path.name for path in (RULES / "fixtures").iterdir())
    for name in names:
        kinds = {path.stem for path in (RULES / "fixtures" / name).iterdir()}
        assert {"match", "ignore"} <= kinds, name


def test_a_condition_becomes_a_function_when_its_rule_is_first_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most rules match nothing in a log, and making all functions would take a fifth of the start of a command."""
    made: list[object] = []

    def counting(condition: Any) -> Any:
        made.append(condition)
        return lambda view: True

    monkeypatch.setattr(pack, "predicate", counting)
    first, *_ = Ruleset(shipped_rules()).rules
    assert made == []
    assert first.matches({})
    assert first.matches({})
    assert made == [first.compiled.condition]


def test_every_rule_passes_its_fixtures() -> None:
    assert failures([RULES]) == (len(shipped_rules()), [])


def test_a_client_that_writes_1_for_true_raises_the_same_alert() -> None:
    """Servers take 1 and 0 for true and false; audit logs have them as they came."""
    detector, tried = Detector(shipped_rules(), source="audit"), set()
    for file in sorted((RULES / "fixtures").glob("audit_*/match.jsonl")):
        for entry in (json.loads(line) for line in file.read_text().splitlines() if "[[[" not in line):
            data = entry["request"].get("data") or {}
            numbers = {name: int(value) for name, value in data.items() if isinstance(value, bool)}
            if not numbers:
                continue
            entry["request"]["data"] = data | numbers
            found = [*detector.feed([json.dumps(entry).encode()]), *detector.flush()]
            assert file.parent.name in {verdict.rule.name for verdict in found}, numbers
            tried.add(file.parent.name)
    assert len(tried) > 5


def _capitals(value: Any) -> Any:
    return {name.upper(): _capitals(item) for name, item in value.items()} if isinstance(value, dict) else value


def test_a_client_that_writes_names_in_capitals_raises_the_same_alert() -> None:
    """Vault takes them for the same names where it decodes requests with Go's mapstructure, as that of a new token."""
    detector, tried = Detector(shipped_rules(), source="audit"), set[str]()
    for file in sorted((RULES / "fixtures").glob("audit_*/match.jsonl")):
        for entry in (json.loads(line) for line in file.read_text().splitlines() if "[[[" not in line):
            found = []
            for data in (entry["request"].get("data"), _capitals(entry["request"].get("data"))):
                entry["request"]["data"] = data
                verdicts = [*detector.feed([json.dumps(entry).encode()]), *detector.flush()]
                found.append({verdict.rule.name for verdict in verdicts if not verdict.counted})
            assert found[0] <= found[1], entry["request"]["data"]
            tried |= found[1]
    assert tried > {"audit_hashing_weakened", "audit_lockout_weakened", "audit_token_chosen", "audit_token_long_lived"}


def test_fixtures_set_every_placeholder_that_their_rule_uses() -> None:
    for path in RULES.rglob("audit_*.yml"):
        counted = yaml.safe_load(path.read_text()).get("correlation", {}).get("rules", [])
        files = (path, *(RULES / f"{name}.yml" for name in counted))
        used = {name for file in files for name in re.findall(r"%(\w+)%", file.read_text())}
        own = RULES / "fixtures" / path.stem / "placeholders.yaml"
        assert used == (set(yaml.safe_load(own.read_text())) if own.exists() else set()), path.stem


@pytest.mark.parametrize("change", ["other values", "emptied"])
@pytest.mark.parametrize("name", PLACEHOLDERS)
def test_the_placeholders_of_a_deployment_break_no_fixture(name: str, change: str, tmp_path: Path) -> None:
    shipped = PLACEHOLDERS[name] or ["none"]
    other = [(value + 3) % 7 if isinstance(value, int) else f"other-{value}" for value in shipped]
    users = [path for path in RULES.glob("*.yml") if f"%{name}%" in path.read_text()]
    for path in users:
        shutil.copy(path, tmp_path)
        shutil.copytree(RULES / "fixtures" / path.stem, tmp_path / "fixtures" / path.stem)
    changed = {**PLACEHOLDERS, name: [] if change == "emptied" else other}
    (tmp_path / "placeholders.yaml").write_text(yaml.safe_dump(changed))
    assert users
    assert failures([tmp_path]) == (len(users), [])


WORK = [rule.compiled for rule in shipped_rules() if rule.compiled.level in ("critical", "high", "medium")]
WRITES = re.findall(
    r"\w+",
    """
    agent_registration_changed auth_trust_changed control_group_config_changed cors_enabled
    credentials_engine_changed default_policy_written group_policies_scope_changed guarded_certificate_issued
    identity_alias_changed identity_members_changed identity_policies_attached identity_removed kmip_changed
    kms_config_changed kv_retention_changed lockout_weakened log_level_changed login_changed login_policies_changed
    managed_key_changed mfa_changed mfa_secret_reset mount_moved mount_tuned oauth_trust_changed
    oidc_provider_changed password_policy_changed pki_ca_replaced pki_config_changed pki_enrolment_enabled
    pki_intermediate_signed pki_revocation_weakened pki_role_unrestricted pki_signed_verbatim plugin_changed
    policy_written quota_changed raft_config_changed replication_changed root_key_rotated
    scim_client_changed secret_destroyed sentinel_policy_changed snapshot_schedule_changed ssh_ca_changed
    ssh_role_changed sync_association_changed sync_destination_changed token_limits_changed token_limits_raised
    token_role_changed transform_changed transit_key_replaced transit_key_settings_changed transit_key_weakened
    ui_changed ui_headers_changed workflow_changed wrapped_response_read
    """,
)
"""Rules about objects whose content the log has as hashes."""
COMMANDS = "audit|auth|delete|list|namespace|operator|plugin|policy|read|secrets|status|token|write"


@pytest.mark.parametrize("rule", WORK, ids=lambda rule: rule.name)
def test_a_rule_that_asks_for_work_says_why_it_matters_and_has_two_to_five_steps(rule: CompiledRule) -> None:
    assert not rule.description.startswith(why(rule))
    assert 2 <= len(rule.runbook.strip().splitlines()) <= 5


@pytest.mark.parametrize("rule", [rule.compiled for rule in shipped_rules()], ids=lambda rule: rule.name)
def test_a_step_of_a_runbook_is_one_line_with_whole_sentences(rule: CompiledRule) -> None:
    """Each line is a step of an alert."""
    assert [line for line in rule.runbook.strip().splitlines() if not re.fullmatch(r"[A-Z].*[.?:]", line)] == []


def test_commands_in_runbooks_can_be_pasted() -> None:
    """With their program, `vault`, which an alert replaces by `bao` where OpenBao wrote the entry."""
    bracketed = [
        (rule.compiled.name, part)
        for rule in shipped_rules()
        for brackets in re.findall(r"\(([^()]*)\)", rule.compiled.runbook)
        for part in re.split(r"[;,] (?:or )?", brackets)
    ]
    assert len([part for _, part in bracketed if part.startswith("vault ")]) > 100
    prose = re.compile(r"read the path|plugin stanzas|audit stanzas")
    assert [one for one in bracketed if re.match(rf"({COMMANDS}) ", one[1]) and not prose.match(one[1])] == []


def test_a_rule_compiled_with_others_of_its_placeholders_alone_is_that_of_the_whole_folder() -> None:
    folders = [path.parent for path in (RULES / "fixtures").glob("*/placeholders.yaml")]
    documents = read_all([RULES])
    assert len(folders) > 10
    for folder in folders[::3]:
        whole = {rule.name: rule for rule in compile_directories([RULES, folder])}
        correlation = whole[folder.name].correlation
        names = {folder.name, *(correlation.rules if correlation else ())}
        placeholders = {**read_placeholders(RULES), **read_placeholders(folder)}
        assert {one.name: one for one in compile_few(documents, names, placeholders)} == {
            name: whole[name] for name in names
        }


@pytest.mark.parametrize("rule", WRITES)
def test_of_acts_that_differ_only_in_hashed_data_none_hides_the_next(rule: str) -> None:
    """Names in the data of requests are hashed, with another salt for each audit device, and so are in no group."""
    assert _two_acts(f"audit_{rule}") == ["first", "first"]


def test_of_denied_acts_on_one_path_those_after_the_first_are_only_counted() -> None:
    """They change nothing, and a job that may not do something tries it again and again."""
    assert _two_acts("audit_policy_written", error="permission denied") == ["first", "suppressed"]
    assert _two_acts("audit_login_policies_changed", error="permission denied") == ["first", "suppressed"]


def _two_acts(rule: str, **members: str) -> list[str]:
    """Return what becomes of the alerts of two acts that differ in their ids, a minute apart."""
    lines = (RULES / "fixtures" / rule / "match.jsonl").read_bytes().splitlines()
    line = next(line for line in lines if "error" not in json.loads(line))
    acts = [json.loads(line) | members for _ in range(2)]
    acts[1]["request"]["id"] = "2"
    detector, desk = Detector(shipped_rules(), source="audit"), Desk()
    verdicts = [*detector.feed([json.dumps(act).encode() for act in acts]), *detector.flush()]
    alerts = [alert for alert in map(alert_of, verdicts) if alert.rule == rule]
    return [desk.file([alert], 60 * n)[0] for n, alert in enumerate(alerts)]


def test_an_act_whose_response_could_not_be_wrapped_counts_as_done() -> None:
    """Recorded: a client asked for a wrapped response, and did not wait for it. The namespace was deleted."""
    lines = (RULES / "fixtures" / "audit_namespace_deleted" / "match.jsonl").read_bytes().splitlines()
    detector = Detector(shipped_rules(), source="audit")
    verdicts = [*detector.feed(line for line in lines if b'"wrap_ttl":60' in line), *detector.flush()]
    (alert,) = [one for one in map(alert_of, verdicts) if one.rule == "audit_namespace_deleted"]
    assert (alert.outcome, alert.level) == ("unknown", Level.HIGH)
    assert alert.summary.endswith('asked to delete namespace n4: may have succeeded: "internal error"')


def test_an_act_on_something_else_is_no_repeat_of_the_one_before() -> None:
    """A harmless act by the same caller hides none that is not, for up to a day."""
    hidden = set()
    for rule in shipped_rules():
        lines = (
            (RULES / "fixtures" / rule.name / "match.jsonl").read_bytes().splitlines()[:5] if _notifies(rule) else []
        )
        hidden |= {rule.name for line in lines for other in _on_something_else(line) if _hides(rule, line, other)}
    assert hidden == COUNTED


def _notifies(rule: Rule) -> bool:
    is_quiet = rule.compiled.level is Level.INFORMATIONAL or rule.asks_partial
    return rule.name.startswith("audit_") and not is_quiet


def _on_something_else(line: bytes) -> Iterator[bytes]:
    """The entry with each part of its path as another one."""
    entry = json.loads(line)
    first, *parts = str(entry["request"].get("path")).split("/")
    for at, part in enumerate(parts):
        path = "/".join([first, *parts[:at], f"{part}x", *parts[at + 1 :]])
        yield json.dumps(entry | {"request": entry["request"] | {"id": "2", "path": path}}).encode()


def _hides(rule: Rule, *lines: bytes) -> bool:
    detector = Detector([rule], source="audit")
    alerts = list(map(alert_of, [*detector.feed(lines), *detector.flush()]))
    done = [alert for alert in alerts if alert.outcome != "failed"]
    return len(done) == 2 and len({file_alert(alert).group for alert in done}) == 1
