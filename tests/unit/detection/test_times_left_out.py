"""Messages whose time somebody left out, as pages and issues show them, are read with their level."""

from __future__ import annotations

import pytest

from tests.unit.detection.test_any_prefix import TEXT_LAYOUT, read

MESSAGE = '[ERROR] core: post-unseal setup failed: error="error loading: {Voter n1}"'


def levels_of(*lines: str, unwrap: bool = True) -> list[tuple[str, str, str]]:
    seen, rejected = read([*lines], unwrap=unwrap)
    assert rejected == []
    return [(str(one["level"]), str(one["module"]), str(one["message"])) for one in seen]


@pytest.mark.parametrize("unwrap", [True, False])
@pytest.mark.parametrize(
    "before", ["", "    ", "... ", "vault-0   | ", "vault-0 ", "> ", "# ", "Nov 21 07:29:41 h vault[7]: "]
)
def test_a_message_without_a_time_is_read_with_its_level(before: str, unwrap: bool) -> None:
    expected = ("error", "core", "post-unseal setup failed")
    assert levels_of(before + MESSAGE, before + MESSAGE, unwrap=unwrap) == [expected, expected]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("[INFO]  core: vault is sealed", ("info", "core", "vault is sealed")),
        ("[INFO] core: vault is sealed", ("info", "core", "vault is sealed")),
        ("[INFO ] core: vault is sealed", ("info", "core", "vault is sealed")),
        ("[ERR] core: no", ("error", "core", "no")),
        ("[WARN]  storage.raft: Election timeout", ("warn", "storage.raft", "Election timeout")),
        ('[WARN]  failed to unseal core: error="no"', ("warn", "", "failed to unseal core")),
        ("[DEBUG] auth.saml.auth_saml_5b0a77c1: no", ("debug", "auth.saml.auth_saml_5b0a77c1", "no")),
    ],
)
def test_levels_and_modules(line: str, expected: tuple[str, str, str]) -> None:
    assert levels_of(line) == [expected]


def test_a_value_of_several_lines_belongs_to_it() -> None:
    lines = ["[ERROR] core: failed to audit request: path=sys/seal", "  error=", "  | 1 error occurred:", "  |"]
    seen, _ = read([*lines, "[INFO]  core: sealed"], unwrap=True)
    assert [one["fields"] for one in seen] == [{"path": "sys/seal", "error": "1 error occurred:"}, {}]


def test_in_a_log_of_a_server_any_module_may_be_one() -> None:
    assert levels_of("[INFO]  core: a", "[WARN]  unknown or unsupported field x", "[INFO] telemetry: b") == [
        ("info", "core", "a"),
        ("warn", "", "unknown or unsupported field x"),
        ("info", "telemetry", "b"),
    ]


@pytest.mark.parametrize("line", ["[INFO] Scanning for projects...", "[WARN]  agent: blocked by ACLs", "[ERROR] x"])
def test_a_line_of_another_program_is_none(line: str) -> None:
    seen, rejected = read([line] * 3, unwrap=True)
    assert (seen, len(rejected)) == ([], 3)


@pytest.mark.parametrize("before", ["[INFO] ", "[ERROR] core: "])
def test_a_level_before_a_message_with_a_time_is_none_of_it(before: str) -> None:
    seen, _ = read([before + TEXT_LAYOUT] * 2, unwrap=True)
    assert [one["time"] for one in seen] == ["2026-11-21T07:29:43.933Z"] * 2


@pytest.mark.parametrize("before", ["[07:29:41] ", "07:29:41 ", "2026-11-21 07:29:41,123 - "])
def test_behind_a_time_of_another_form_it_is_not_read_without_it(before: str) -> None:
    seen, rejected = read([before + MESSAGE] * 2, unwrap=True)
    assert ([one for one in seen if one["level"]], len(rejected)) == ([], 2)
