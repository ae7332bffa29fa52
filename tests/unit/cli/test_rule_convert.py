"""`vaultwatch rules convert`: queries for other systems, and the pipelines that sigma-cli reads.

pySigma's backends are not among the tests' packages, because none supports pySigma 2 yet: what needs them runs only in
an environment with the extra `convert`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import jq
import pytest
import yaml

from vaultwatch.cli import main
from vaultwatch.cli.rule_convert import TARGETS
from vaultwatch.reading.identity import outcome
from vaultwatch.reading.view import mount_of
from vaultwatch.rules.compiling import converting

ROOT = Path(__file__).parents[3]
PIPELINES = ROOT / "vaultwatch" / "rules" / "pipelines"
INSTALLED = find_spec("sigma.backends.splunk") is not None
with_backends = pytest.mark.skipif(not INSTALLED, reason="the extra `convert` is not installed")
Run = Callable[..., tuple[int, str, str]]
RULE = """
title: Device disabled
name: device_disabled
level: critical
logsource: {product: vault, service: audit}
detection:
  selection:
    request.path|startswith: sys/audit/
    request.namespace.path|expand: '%spaces%'
  condition: selection
"""
FILTER = """
title: The pipeline may
logsource: {product: vault, service: audit}
filter:
  rules: [device_disabled]
  pipeline: {auth.entity_id: e1}
  condition: not pipeline
"""
CORRELATION = """
title: Devices disabled
name: devices_disabled
level: critical
correlation:
  {type: event_count, rules: [device_disabled], timespan: 10m, group-by: [auth.entity_id], condition: {gte: 7}}
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str | Path) -> tuple[int, str, str]:
        status = main(["rules", "convert", *map(str, arguments)])
        return (status, *capsys.readouterr())

    return run


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "device_disabled.yml").write_text(RULE)
    (tmp_path / "placeholders.yaml").write_text("spaces: [prod/, 'a*/']\nunused: []\n")
    return tmp_path


def test_the_targets_of_the_command_are_those_of_the_backends() -> None:
    assert TARGETS == converting.TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_the_shipped_pipelines_are_those_of_the_shipped_rules(run: Run, target: str) -> None:
    assert run("--to", target, "--pipeline", ROOT / "rules") == (0, (PIPELINES / f"{target}.yml").read_text(), "")
    assert {path.stem for path in PIPELINES.iterdir()} == set(TARGETS)


def test_a_pipeline_has_the_placeholders_of_all_folders_as_literal_values(run: Run, mine: Path) -> None:
    made = yaml.safe_load(run("--to", "splunk", "--pipeline", ROOT / "rules", mine)[1])
    assert made["vars"]["spaces"] == ["prod/", r"a\*/"]
    assert made["vars"]["unused"] == ["__never__"]
    assert made["vars"]["breakglass_namespaces"] == ["break-glass/"]


@pytest.mark.skipif(INSTALLED, reason="the extra `convert` is installed")
def test_without_the_extra_the_command_names_it_in_one_line(run: Run, mine: Path) -> None:
    needed = "sigma.backends.loki is not installed: install Vaultwatch with its extra `convert`"
    assert run("--to", "loki", mine) == (2, "", f"vaultwatch: --to loki: {needed}\n")


def test_fields_as_the_documentation_adds_them_are_those_of_vaultwatch() -> None:
    """The program of jq in docs/rule-tools.md, on what both products wrote."""
    page = (ROOT / "docs" / "rule-tools.md").read_text()
    program = page.partition("    jq -c '")[2].partition("'")[0]
    for name in ("openbao-2.6.2/namespaces", "openbao-2.6.2/login-attacks", "vault-1.14.2/key-export"):
        text = (ROOT / "tests" / "data" / "recordings" / name / "audit.jsonl").read_text()
        entries = [json.loads(line) for line in text.splitlines()]
        for entry, made in zip(entries, jq.compile(program).input_text(text).all(), strict=True):
            request = entry["request"]
            expected = mount_of(request["path"], request["mount_point"], request["mount_type"])
            assert (made["mount_type"], made["mount_path"]) == expected
            assert made["outcome"] == outcome(entry)


# First-seen and what is missing are no part of Sigma's correlations; fields that are compared are none of each backend.
NOT_CONVERTED = {
    *("audit_administrative_policy_new_address", "audit_administrative_policy_new_identity"),
    *("audit_backup_snapshot_missing", "audit_mount_tuned", "audit_token_limits_changed"),
    *("audit_token_limits_raised", "audit_token_long_lived"),
}
COUNTING = ("in_bulk", "_names", "_name", "_no_leader")


@with_backends
class TestWithBackends:
    def test_every_shipped_rule_is_converted_or_named(self, run: Run) -> None:
        shipped = json.loads((ROOT / "vaultwatch" / "rules" / "pack.json").read_bytes())["rules"]
        names = {rule["name"] for rule in shipped}
        counted = {name for rule in shipped if rule.get("correlation") for name in rule["correlation"]["rules"]}
        for target in TARGETS:
            status, out, err = run("--to", target, "--format", "json", ROOT / "rules")
            queries = {found["rule"]: found["query"] for found in map(json.loads, out.splitlines())}
            left = {line.partition(":")[0] for line in err.splitlines()}
            assert (queries.keys() | left) - counted == names - counted
            assert all(queries.values())
            assert (status == 1) == bool(left)
            assert left <= NOT_CONVERTED | {name for name in names if name.endswith(COUNTING)} or target == "loki"

    def test_a_query_has_placeholders_and_filters(self, run: Run, mine: Path) -> None:
        (mine / "pipeline.yml").write_text(FILTER)
        found = run("--to", "splunk", mine)
        condition = r'request.path="sys/audit/*" request.namespace.path IN ("prod/", "a\*/") NOT auth.entity_id="e1"'
        assert found == (0, f"# device_disabled (critical): Device disabled\n{condition}\n\n", "")

    def test_a_correlation_replaces_the_rules_that_it_counts(self, run: Run, mine: Path) -> None:
        (mine / "a_correlation").mkdir()
        (mine / "a_correlation" / "devices_disabled.yml").write_text(CORRELATION)
        status, out, err = run("--to", "splunk", mine)
        assert (status, err) == (0, "")
        assert out.count("# ") == 1
        assert "# devices_disabled" in out
        assert "event_count >= 7" in out
        assert run("--to", "elastic", mine)[0] == 1

    def test_a_disabled_rule_is_left_out(self, run: Run, mine: Path) -> None:
        (mine / "overrides.yml").write_text("device_disabled: {enabled: false}\n")
        assert run("--to", "loki", mine) == (0, "", "")

    def test_a_title_of_more_than_one_line_is_refused(self, run: Run, mine: Path) -> None:
        (mine / "device_disabled.yml").write_text(RULE.replace("Device disabled", '"Device\\nrm -rf /"'))
        status, out, err = run("--to", "splunk", mine)
        assert (status, out) == (2, "")
        assert "more than one line" in err

    def test_loki_compares_its_own_label_with_a_network(self, run: Run, mine: Path) -> None:
        rule = RULE.replace(
            "request.path|startswith: sys/audit/", "request.remote_address|cidr: [10.0.0.0/8, 'fd00::/8']"
        )
        (mine / "device_disabled.yml").write_text(rule)
        status, query, _ = run("--to", "loki", mine)
        assert status == 0
        assert 'request_remote_address=ip("10.0.0.0/8")' in query
        (mine / "device_disabled.yml").write_text(rule.replace("remote_address", "peer.address"))
        refused = "device_disabled: not converted: Loki's backend cannot compare request.peer.address with a network\n"
        assert run("--to", "loki", mine) == (1, "", refused)

    def test_lists_are_what_loki_has_not(self, run: Run) -> None:
        found = run("--to", "loki", "--rule", "audit_root_policy_used", ROOT / "rules")
        assert found == (1, "", "audit_root_policy_used: not converted: Loki's json parser leaves out lists\n")
