"""The lint finds values that no record has, values that few have, and selections without effect; and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.rules.sigma import sigma
from vaultwatch.errors import RuleError
from vaultwatch.rules.compiling import Finding, compile_directories, lint
from vaultwatch.rules.pack import shipped_rules

RULES = Path(__file__).parents[3] / "rules"


def findings(folder: Path, detection: str, service: str = "audit", placeholders: str = "") -> list[Finding]:
    (folder / "rule.yml").write_text(sigma(detection, service=service))
    (folder / "placeholders.yml").write_text(placeholders)
    return lint(compile_directories([folder]), [folder])


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("request.operation: write", "write never matches: no record has this value: Vault logs create"),
        ("request.operation: [read, updat]", "did you mean `update`?"),
        ("request.operation|cased: Update", "did you mean `update`?"),
        ("request.operation|re: '^write$'", "no record has this value"),
        ("type: Respond", "did you mean `response`?"),
        ("outcome: error", "it is one of failed, succeeded, unknown"),
        ("request.path: /v1/sys/seal", "no path in the log begins with a slash: write `sys/seal`"),
        ("request.path|startswith: /secret/data/x/", "write `secret/data/x/`"),
        ("mount_path|expand: '%paths%'", "no path in the log begins with a slash: write `x`"),
        ("request.path: '/secret/*/x'", "no path in the log begins with a slash"),
        ("request.path: '%paths%'", "%paths% is compared literally: the modifier `expand` fills in a placeholder"),
        ("auth.display_name: 'x-%paths%-y'", "%paths% is compared literally"),
        ("'|contains': '%paths%'", "keyword %paths% never matches: %paths% is compared literally"),
        ("request.namespace.path: prod", "request.namespace.path ends with a slash: write `prod/`"),
        ("request.mount_point|endswith: secret", "write `secret/`"),
    ],
)
def test_a_value_that_no_record_has_is_an_error(item: str, reason: str, tmp_path: Path) -> None:
    (found,) = findings(tmp_path, f"s: {{{item}}}\ncondition: s", placeholders="paths: [/x]")
    assert found.is_error
    assert reason in found.text


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("request.path|contains: /v1/sys/", "paths are logged without /v1/, as in `sys/`"),
        ("request.path|startswith: v1/sys/", "paths are logged without /v1/"),
        ("request.data.policy|contains: root", "unless audit_non_hmac_request_keys of the mount names them"),
        ("response.data.keys.a|re: x", "unless audit_non_hmac_response_keys of the mount names them"),
        ("request.data.address|cidr: 10.0.0.0/8", "hmac-sha256"),
        ("auth.client_token|startswith: hvs.", "tokens are logged as hmac-sha256"),
    ],
)
def test_a_value_that_few_records_have_is_a_warning(item: str, reason: str, tmp_path: Path) -> None:
    (found,) = findings(tmp_path, f"s: {{{item}}}\ncondition: s")
    assert not found.is_error
    assert reason in found.text


@pytest.mark.parametrize(
    "item",
    [
        "request.operation: [create, SCAN, alias-lookahead]",
        "request.operation|contains: pda",
        "request.path|contains: /roles/",
        "request.path: secret/caf%c3%a9",
        "request.namespace.path|startswith: prod",
        "request.namespace.path: null",
        "request.data.policy|startswith: 'hmac-sha256:'",
        "request.data.complete: true",
        "request.data.ttl: '3600'",
        "request.data.policy|exists: true",
        "auth.client_token|exists: true",
        "mount_path|expand: '%paths%'",
    ],
)
def test_ordinary_values_are_not_reported(item: str, tmp_path: Path) -> None:
    assert findings(tmp_path, f"s: {{{item}}}\ncondition: s", placeholders="paths: []") == []


def test_levels_of_the_server_log_are_checked_and_its_texts_are_not(tmp_path: Path) -> None:
    (found,) = findings(tmp_path, "s: {level: warning, message: /v1/sys, fields.path: /x}\ncondition: s", "server")
    assert found.text.startswith("level: warning never matches: no record has this value; did you mean `warn`?")


@pytest.mark.parametrize(
    ("condition", "unused"),
    [
        ("a_1", ["a_2", "b", "_c"]),
        ("a_1 and not (a_2 or b) and _c", []),
        ("1 of a_* or b", ["_c"]),
        ("all of them", ["_c"]),
        ("[a_1 or a_2, b]", ["_c"]),
    ],
)
def test_a_selection_without_effect_is_a_warning(condition: str, unused: list[str], tmp_path: Path) -> None:
    selections = "\n".join(f"{name}: {{request.path: x}}" for name in ("a_1", "a_2", "b", "_c"))
    found = findings(tmp_path, f"{selections}\ncondition: {condition}")
    assert [finding.text.split()[-1] for finding in found] == unused
    assert not any(finding.is_error for finding in found)


def test_a_filter_is_checked_like_a_rule(tmp_path: Path) -> None:
    (tmp_path / "calm.yml").write_text(
        "title: Calm\nlogsource: {product: vault, service: audit}\n"
        "filter: {rules: [rule], a: {request.operation: write}, b: {request.path: x}, condition: not a}\n"
    )
    found = findings(tmp_path, "s: {request.path: x}\ncondition: s")
    assert [finding.rule for finding in found] == ["rule", f"{tmp_path.name}/calm.yml"]
    assert [finding.is_error for finding in found] == [True, False]


def test_the_shipped_rules_have_nothing_to_correct() -> None:
    assert lint([rule.compiled for rule in shipped_rules()], [RULES]) == []


def test_an_unknown_placeholder_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match=r"unknown placeholder %pathes%: .*; did you mean `paths`"):
        findings(tmp_path, "s: {request.path|expand: '%pathes%'}\ncondition: s", placeholders="paths: []")
