"""The renderer of configuration files: strict about names, and about what a value may contain."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultwatch.errors import SettingError
from vaultwatch.hosts.render import Syntax, placeholders, render

PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))


def test_every_placeholder_is_replaced_each_time_it_appears() -> None:
    assert render("a {{x}} b {{y}} {{x}}", {"x": "1", "y": "2"}, Syntax.PLAIN) == "a 1 b 2 1"


@pytest.mark.parametrize("text", ["{{x}}", "{{x}} {{z}}"])
def test_a_placeholder_without_a_value_is_refused_by_name(text: str) -> None:
    with pytest.raises(SettingError, match="no value for x"):
        render(text, {"z": "1"} if "z" in text else {}, Syntax.PLAIN)


def test_a_value_without_a_placeholder_is_refused_by_name() -> None:
    with pytest.raises(SettingError, match="no placeholder for y"):
        render("{{x}}", {"x": "1", "y": "2"}, Syntax.PLAIN)


@pytest.mark.parametrize("text", ["{{ x }}", "{{X}}", "{{x", "{{}}", "{{x-y}}"])
def test_braces_that_are_no_placeholder_are_refused(text: str) -> None:
    with pytest.raises(SettingError):
        render(text, dict.fromkeys(placeholders(text), "1"), Syntax.PLAIN)


@pytest.mark.parametrize("syntax", Syntax)
@pytest.mark.parametrize("value", ["a\nb", "a\0", "\x1b[2J", "a\rb", "\x7f", "ü", "a\tb", "\u2028"])
def test_only_printable_ascii_is_accepted(value: str, syntax: Syntax) -> None:
    with pytest.raises(SettingError, match="x: only printable ASCII"):
        render("{{x}}", {"x": value}, syntax)


@pytest.mark.parametrize(
    ("syntax", "value"),
    [
        (Syntax.SYSLOG_NG, '"); program("sh'),
        (Syntax.SYSLOG_NG, "`vaultwatch-tls`"),
        (Syntax.SYSLOG_NG, "a'b"),
        (Syntax.HCL, '" } listener'),
        (Syntax.HCL, "${env.HOME}"),
        (Syntax.HCL, "%{if true}"),
        (Syntax.SYSTEMD, "a b"),
        (Syntax.SYSTEMD, "%h"),
        (Syntax.SHELL, "$(id)"),
        (Syntax.PLAIN, "a;b"),
        (Syntax.PLAIN, "a b"),
    ],
)
def test_a_value_that_would_change_the_file_is_refused_and_not_quoted(syntax: Syntax, value: str) -> None:
    with pytest.raises(SettingError) as raised:
        render("{{x}}", {"x": value}, syntax)
    assert value not in str(raised.value)


def test_a_block_is_inserted_as_it_is() -> None:
    assert render('a {\n{{join}}}"{{x}}"', {"x": "1"}, Syntax.HCL, {"join": ' b "c"\n'}) == 'a {\n b "c"\n}"1"'


def test_a_value_is_not_a_template_itself() -> None:
    with pytest.raises(SettingError):
        render("{{x}} {{y}}", {"x": "{{y}}", "y": "1"}, Syntax.SYSLOG_NG)


@given(st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), st.text(PRINTABLE), min_size=1))
def test_a_file_contains_exactly_the_values_or_is_refused(values: dict[str, str]) -> None:
    """Split at the lines of the template, every value comes out as it went in: none can leave its place."""
    text = "".join(f'\n{name}="{{{{{name}}}}}"' for name in values)
    refused = any(set(value) & set(Syntax.HCL.value) for value in values.values())
    try:
        filled = render(text, values, Syntax.HCL)
    except SettingError:
        assert refused
        return
    assert not refused
    assert dict(re.findall(r'(?m)^([a-z0-9_]+)="([^"\n]*)"$', filled)) == values
