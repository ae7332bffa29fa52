"""What is wrong with a file of rules is said in plain words, with the file and the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.rules.sigma import sigma
from vaultwatch.errors import RuleError
from vaultwatch.rules.compiling import compile_directories

SELECTION = "a: {{{}}}\ncondition: a"
CONDITION = "a: {{request.path: x}}\ncondition: {}"


def refusal(folder: Path, detection: str, file: str = "rule.yml") -> str:
    """Return why a rule is refused, without the name of its folder; its detection begins on line 6."""
    (folder / file).write_text(sigma(detection))
    with pytest.raises(RuleError) as refused:
        compile_directories([folder])
    return str(refused.value).removeprefix(f"{folder.name}/")


@pytest.mark.parametrize(
    ("detection", "reason"),
    [
        (
            SELECTION.format("request.path: *x"),
            "6: not YAML: a value begins with `*`, which YAML takes for an alias",
        ),
        (SELECTION.format("request.path: @x"), "6: not YAML: a value begins with `@`: put the value in quotes"),
        (SELECTION.format("request.path: %paths%"), "6: not YAML: a value begins with `%`: put the value in quotes"),
        (SELECTION.format("request.path: !x"), "6: not YAML: a value begins with `!`: put the value in quotes"),
        (SELECTION.format("request.path: [x"), "6: not YAML: a `[` that began on line 6 does not end"),
        (SELECTION.format("request.path: 'x"), "7: not YAML: a quote that began on line 6 does not end"),
        (SELECTION.format('request.path: "\\d"'), "6: not YAML: an unknown escape with `\\` in double quotes"),
        ("a: b: c", "6: not YAML: a second `:` on a line, or a wrong indent"),
        ("a:\n  b: c\n\td: e", "8: not YAML: a tab: indent with spaces"),
        ("a:\n  b: 'c' d", "7: not YAML: a wrong indent, or text after a quoted value, in what begins on line 7"),
        ("a: {b: 1, b: 2}", "6: the key b is there twice"),
        ("a: \x01", "6: not YAML: the character 0x01 in a text"),
        (SELECTION.format("request.path|re: 'a(b'"), "6: regular expression 'a(b' is not RE2's: missing ): a(b"),
        (SELECTION.format("request.pth: x"), "6: unknown field request.pth: no audit record has it; did you mean"),
        (SELECTION.format("request.path|expand: 'a/%x%'"), "6: unknown placeholder %x%"),
        (SELECTION.format("request.path|expand: '%emergency_paths%'"), "6: unknown placeholder %emergency_paths%: no"),
        ("a: {error: x}\nb: {error: y}\ncondition: a and not b", "6 or 7: negates error without selecting type"),
        (SELECTION.format("request.path|startwith: x"), "6: unknown modifier startwith; did you mean `startswith`?"),
        (SELECTION.format("request.path|windash: x"), "6: unsupported modifier windash"),
        (SELECTION.format("request.path|lt: x"), "6: the value `x` does not suit its modifier"),
        (
            SELECTION.format("request.path|cidr: 10.0.0.1/8"),
            "6: `10.0.0.1/8` is no network in CIDR notation",
        ),
        ("# here\n" + SELECTION.format("time|hour: 24"), "7: time|hour: 24 is outside 0 to 23"),
        (CONDITION.format("a and"), "7: the condition `a and` is not complete"),
        (CONDITION.format("a adn a"), "7: the condition `a adn a` cannot be read from `adn a` on"),
        (CONDITION.format("a and not b1"), "7: the condition names b1, but there is no such selection"),
        (CONDITION.format("7"), "7: the condition is not a text that names selections"),
        ("a: {request.path: x}\nconditon: a", "5: the detection has no `condition`"),
    ],
)
def test_the_line_is_named_and_the_reason_is_plain(detection: str, reason: str, tmp_path: Path) -> None:
    found = refusal(tmp_path, detection)
    assert found.startswith(f"rule.yml, line {reason}")
    assert "unicode string" not in found


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ("audit_policy_written", "a shipped rule, so name `shipped` before the folder"),
        ("rul", "did you mean `rule`?"),
    ],
)
def test_a_filter_for_a_rule_that_is_not_loaded_says_how_to_load_it(rules: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "calm.yml").write_text(
        "title: Calm\nlogsource: {product: vault, service: audit}\n"
        f"filter: {{rules: [{rules}], ours: {{request.path: x}}, condition: not ours}}\n"
    )
    assert reason in refusal(tmp_path, "a: {request.path: x}\ncondition: a")


def test_what_is_wrong_in_a_filter_is_found_in_its_own_file(tmp_path: Path) -> None:
    (tmp_path / "calm.yml").write_text(
        "title: Calm\nlogsource: {product: vault, service: audit}\n"
        "filter:\n  rules: [rule]\n  ours: {request.pth: x}\n  condition: not ours\n"
    )
    assert refusal(tmp_path, "a: {request.path: x}\ncondition: a").startswith(
        "calm.yml, line 5: unknown field request.pth"
    )
