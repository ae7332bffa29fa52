"""The lint finds values that no record has, values that few have, and selections without effect; and nothing else."""

from __future__ import annotations

import re
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
        ("request.remote_address: 10.0.0.0/8", "address, not a network: write `request.remote_address|cidr`"),
        ("request.remote_address|startswith: 10.*/8", "not a network"),
        ("request.headers.x-forwarded-for: [fd00::/8]", "write `request.headers.x-forwarded-for|cidr`"),
        ("local.weekday: 0", "local.weekday: 0 never matches: it is 1 (Monday) to 7 (Sunday)"),
        ("local.weekday: Sunday", "it is 1 (Monday) to 7 (Sunday)"),
        ("local.hour|gte: 24", "local.hour|gte: 24 never matches: it is 0 to 23"),
        ("secret_in_clear: false", "write `secret_in_clear: null`"),
        ("mount_type: generic", "Vault logs `kv` for both versions"),
        ("mount_type: [kv, kv_v2]", "mount_type: kv_v2 never matches"),
        ("request.mount_type: kv-v2", "Vault logs `kv`"),
        ("mount_type: ns_system", "write `system`"),
        ("mount_type: sys", "the type of sys/ is `system`"),
        ("request.path|re: ^/sys/", "no path in the log begins with a slash: write `^` without the slash after it"),
        ("request.path|re|i: '^(/sys|/AUTH)/'", "no path in the log begins with a slash"),
        ("mount_path|re: '^\\/a|^/b'", "no path in the log begins with a slash"),
        ("request.path|re: /^sys.*$/", "the slashes around it are compared too"),
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
        ("request.path|re: ^v1/sys", "paths are logged without /v1/"),
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
        "request.remote_address: 10.0.0.*",
        "request.data.token_bound_cidrs|startswith: 'hmac-sha256:'",
        "local.hour: [0, 23]",
        "local.weekday|gte: 7",
        "request.mount_type: generic",
        "mount_type: kvm",
        "request.path|re: '^/?sys'",
        "request.path|re: '^/*sys'",
        "request.path|re: '^sys|^/x'",
        "request.path|re: '(?m)^/sys'",
        "request.path|re: '/sys|[|^/]a'",
        "request.path|re: /config/",
    ],
)
def test_ordinary_values_are_not_reported(item: str, tmp_path: Path) -> None:
    assert findings(tmp_path, f"s: {{{item}}}\ncondition: s", placeholders="paths: []") == []


def test_levels_of_the_server_log_are_checked_and_its_texts_are_not(tmp_path: Path) -> None:
    (found,) = findings(tmp_path, "s: {level: warning, message: /v1/sys, fields.path: /x}\ncondition: s", "server")
    assert found.text.startswith("level: warning never matches: no record has this value; did you mean `warn`?")


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("message: 'core: vault is sealed'", "write `module: core` and `message` without `core: `"),
        ("message|startswith: 'secrets.kv.kv_1f: upgraded'", "`module: secrets.kv.kv_1f`"),
        ("message|re: '^core: vault'", "write `module: core`"),
        ("message: '[INFO] core*'", "the level is a field of its own"),
    ],
)
def test_a_message_has_no_module_or_level_before_it(item: str, reason: str, tmp_path: Path) -> None:
    (found,) = findings(tmp_path, f"s: {{{item}}}\ncondition: s", "server")
    assert found.is_error
    assert reason in found.text


def test_other_words_before_a_colon_may_be_part_of_a_message(tmp_path: Path) -> None:
    items = "'message|startswith': 'panic: ', 'message|contains': 'core: ', 'message|re': 'core: '"
    assert findings(tmp_path, f"s: {{{items}}}\ncondition: s", "server") == []


@pytest.mark.parametrize(
    ("a", "b", "condition", "named"),
    [
        ("request.operation: update", "request.operation: delete", "a and b", "request.operation has one value"),
        (
            "request.path: x",
            "request.path: [y, z]",
            "a and b",
            "none passes all .* asks of it: x, y, z",
        ),
        ("request.path: x", "request.path|startswith: y", "a and b", "request.path has one value"),
        ("request.path: x", "request.path: x", "a and not b", "request.path has one value"),
        ("local.hour|gte: 20", "local.hour|lt: 6", "a and b", "local.hour has one value"),
        ("mount_type: kv", "mount_type: pki", "all of them", "mount_type has one value"),
        ("request.remote_port: 1", "request.remote_port|gt: 1", "a and b", "request.remote_port has one value"),
        ("request.path: x", "request.namespace.path: null", "a and not (b or not b)", None),
        ("request.operation: update", "request.operation: delete", "a or b", None),
        ("request.path: x", "request.path|re: X", "a and b", None),
        ("request.path: [x, y]", "request.path: [y, z]", "a and b", None),
        ("auth.policies: x", "auth.policies: y", "a and b", None),
        ("request.headers.a: x", "request.headers.a: y", "a and b", None),
        ("request.operation: null", "request.operation: update", "a and not b", None),
        ("local.hour|gte: 20", "local.hour|lt: 6", "a or b", None),
    ],
)
def test_selections_that_never_hold_together_are_an_error(
    a: str, b: str, condition: str, named: str | None, tmp_path: Path
) -> None:
    found = findings(tmp_path, f"a: {{{a}}}\nb: {{{b}}}\ncondition: {condition}")
    assert [finding.is_error for finding in found] == [True] * (named is not None)
    assert all(re.search(str(named), finding.text) for finding in found)


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
    selections = "\n".join(f"{name}: {{request.path|contains: {name}}}" for name in ("a_1", "a_2", "b", "_c"))
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


def test_a_filter_that_leaves_nothing_of_a_rule_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "calm.yml").write_text(
        "title: Calm\nlogsource: {product: vault, service: audit}\n"
        "filter: {rules: [rule], a: {request.path: x}, condition: not a}\n"
    )
    (found,) = findings(tmp_path, "s: {request.path: x}\ncondition: s")
    assert not found.is_error
    assert f"never holds (with {tmp_path.name}/calm.yml): request.path has one value" in found.text


def test_the_shipped_rules_have_nothing_to_correct() -> None:
    assert lint([rule.compiled for rule in shipped_rules()], [RULES]) == []


def test_an_unknown_placeholder_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match=r"unknown placeholder %pathes%: .*; did you mean `paths`"):
        findings(tmp_path, "s: {request.path|expand: '%pathes%'}\ncondition: s", placeholders="paths: []")
