"""Tokens and credentials that a log contains in clear are replaced; everything else is unchanged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.work import growth
from vaultwatch.alerts import alert_of
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.redaction import PARTS_OF_SECRETS, holds_secret, marker, redacted, redacted_text
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import shipped_rules

DATA = Path(__file__).parents[1] / "data" / "secrets"
SHIPPED = Ruleset(shipped_rules())
FIXTURES = Path(__file__).parents[2] / "rules" / "fixtures"
DECODED = [one for one in sorted(FIXTURES.glob("audit_*")) if one.name != "audit_entry_over_budget"]
IN_CLEAR = ("headers-raw.jsonl", "log-raw.jsonl")
BASE62 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
TOKENS = st.one_of(
    st.builds(str.__add__, st.sampled_from(["hvs.", "hvb.", "hvr."]), st.text(BASE62 + "_-", min_size=8, max_size=200)),
    st.builds(str.__add__, st.sampled_from(["s.", "b.", "r."]), st.text(BASE62, min_size=24, max_size=40)),
)


def with_escapes(token: str) -> str:
    return "".join(f"\\u{ord(char):04x}" for char in token)


def with_url_escapes(token: str) -> str:
    return "".join(f"%{ord(char):02X}" for char in token)


WRITTEN = TOKENS.flatmap(
    lambda token: st.sampled_from(
        [
            token,
            f"auth/token/lookup/{token}",
            f"({token})",
            json.dumps({"raw": json.dumps({"token": token})}),
            with_escapes(token),
            with_escapes(token).replace("\\", "\\\\\\"),
            with_url_escapes(token),
            quote(token, safe="") + "/x",
        ]
    ).map(lambda text: (token, text))
)


def planted(secret: str) -> Any:
    """Return values with the secret as a text or a key at any depth."""
    leaf = st.one_of(st.just(secret), st.none(), st.text(max_size=9), st.integers())
    keys = st.one_of(st.text(max_size=5), st.just(secret))
    deeper = st.recursive(leaf, lambda below: st.lists(below) | st.dictionaries(keys, below), max_leaves=15)
    return st.fixed_dictionaries({"here": st.just(secret), "there": deeper})


@given(WRITTEN.flatmap(lambda pair: st.tuples(st.just(pair[0]), planted(pair[1]))))
def test_no_token_survives_however_nested_or_escaped(case: tuple[str, Any]) -> None:
    token, value = case
    left = json.dumps(redacted(value))
    for written in (token, with_escapes(token), with_url_escapes(token)):
        assert written not in left
        assert json.dumps(written)[1:-1] not in left
    assert holds_secret(value)
    assert not holds_secret(redacted(value))


PIECES = st.sampled_from(
    [
        *("hvs.", "hvs", ".", "s.", "abcdefgh", "A" * 24, "bearer", "Basic ", " ", "+", "=", ":", "authorization"),
        *("\\u0068", "%68", "\n", "hmac-sha256:", "ab" * 32, marker("secret"), "x-vault-token", '"', "é"),
    ]
)
NAMES = st.sampled_from(["client_token", "wrap_info", "token", "Authorization", "headers"]) | st.text(max_size=4)
TEXTS = st.lists(PIECES, max_size=6).map("".join)
JSON = st.recursive(
    TEXTS | st.none() | st.booleans() | st.integers(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(NAMES | TEXTS, below, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_a_value_holds_a_secret_if_something_of_it_would_be_replaced(value: Any) -> None:
    assert holds_secret(value) is (redacted(value) != value)


@pytest.mark.parametrize("deepest", [[], {}, "x", ["hvs.CAESIRAWTOKENEXAMPLE"]])
def test_a_value_too_deep_to_search_counts_as_a_secret(deepest: Any) -> None:
    for depth in (110, 119, 120, 121, 125):
        nested = deepest
        for _ in range(depth):
            nested = [nested]
        assert holds_secret(nested) is (redacted(nested) != nested)


@given(TOKENS)
def test_the_marker_can_be_compared_with_a_known_token(token: str) -> None:
    assert redacted_text(f"x {token}") == f"x {marker(token)}"
    assert any(part in f"x {token}".lower() for part in PARTS_OF_SECRETS)
    assert marker("hvs.CAESIRAWTOKENEXAMPLE") == "[redacted sha256:47e424ffe914]"


@pytest.mark.parametrize("name", IN_CLEAR)
def test_entries_of_a_device_that_hashes_nothing(name: str) -> None:
    for line in (DATA / name).read_bytes().splitlines():
        entry = json.loads(line)
        assert holds_secret(entry)
        left = json.dumps(redacted(entry))
        assert "CAESIRAWTOKENEXAMPLE" not in left
        assert "abc" not in redacted(entry["request"].get("headers", {})).get("authorization", [""])[0].split()
        assert redacted(entry)["request"]["path"] == entry["request"]["path"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s.abcdefghijklmnopqrstuvwx.3sWfFh", marker("s.abcdefghijklmnopqrstuvwx.3sWfFh")),
        ("Bearer eyJhbGciOi.J9", f"Bearer {marker('eyJhbGciOi.J9')}"),
        ("BASIC dXNlcjpwYXNz", f"BASIC {marker('dXNlcjpwYXNz')}"),
        ("Authorization: Bearer abc", f"Authorization: Bearer {marker('abc')}"),
        ('{"authorization":["Basic xyz"]}', '{"authorization":["Basic ' + marker("xyz") + '"]}'),
        ("X-Vault-Token: 5f4dcc3b-1", f"X-Vault-Token: {marker('5f4dcc3b-1')}"),
    ],
)
def test_a_secret_within_a_text(text: str, shown: str) -> None:
    assert redacted_text(text) == shown
    assert text == shown or any(part in text.lower() for part in PARTS_OF_SECRETS)
    assert redacted_text(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "basic authentication failed",
        "Basic Authentication",
        "the bearer certificate",
        "authorization: permission denied",
        "authorization: hmac-sha256:" + "ab" * 32,
        "secrets.example-of-a-rather-long-name",
        "s.short",
        "2026-11-21T07:29:41.123456789Z",
        "v1.14.2+builtin.vault",
        "sys/policies/acl/ops",
        "100%",
        "C:\\u00",
        "hmac-sha256:" + "ab" * 32,
    ],
)
def test_a_text_that_is_no_secret_stays(text: str) -> None:
    assert redacted_text(text) == text


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ({"auth": {"client_token": "5f4dcc3b-aaaa-4444"}}, True),
        ({"request": {"client_token": "hmac-sha256:" + "ab" * 32}}, False),
        ({"request": {"client_token": ""}}, False),
        ({"request": {"data": {"password": "w6"}}}, True),
        ({"request": {"data": {"secret_id": "e6a3b7c0"}}}, True),
        ({"request": {"data": {"password": "hmac-sha256:" + "ab" * 32}}}, False),
        ({"request": {"data": {"password": True, "password_policy": "long"}}}, False),
        ({"response": {"wrap_info": {"token": "5f4dcc3b-aaaa-4444"}}}, True),
        ({"response": {"data": {"token": "5f4dcc3b-aaaa-4444"}}}, False),
        ({"request": {"headers": {"Authorization": ["abc"]}}}, True),
        ({"request": {"headers": {"x-vault-token": ["hmac-sha256:" + "ab" * 32]}}}, False),
        ({"request": {"data": {"authorization": True, "client_token": 5}}}, False),
    ],
)
def test_members_that_only_ever_hold_a_secret(entry: dict[str, Any], found: bool) -> None:
    assert holds_secret(entry) is found


@given(TOKENS, st.sampled_from(["path", "auth.client_token", "headers"]))
def test_a_token_in_a_field_of_the_gate_raises_an_alert_on_any_entry(token: str, where: str) -> None:
    request: dict[str, Any] = {"id": "r", "path": f"a/{token}" if where == "path" else "a"}
    if where == "headers":
        request["headers"] = {"x-vault-token": [token]}
    auth = {"client_token": token} if where == "auth.client_token" else {}
    assert names(json.dumps({"type": "response", "auth": auth, "request": request})) == {"audit_secret_in_clear"}


@given(TOKENS)
def test_a_token_elsewhere_raises_an_alert_if_the_entry_raises_another(token: str) -> None:
    def entry(path: str) -> str:
        request = {"id": "r", "path": path, "operation": "delete", "data": {"x": token}}
        return json.dumps({"type": "response", "request": request})

    assert names(entry("a")) == set()
    assert names(entry("sys/audit/file")) == {"audit_device_disabled", "audit_secret_in_clear"}


@pytest.mark.parametrize("folder", DECODED, ids=lambda folder: folder.name)
def test_a_token_elsewhere_raises_the_same_alerts_in_whatever_way_an_entry_is_read(folder: Path) -> None:
    """Also in an entry that only counts for a correlation: the index does not decode it to the end."""
    for line in (folder / "match.jsonl").read_bytes().splitlines():
        entry = json.loads(line)
        request = entry.setdefault("request", {})
        request["data"] = {**(request.get("data") or {}), "elsewhere": "hvs.CAESIRAWTOKENEXAMPLE"}
        text = json.dumps(entry)
        assert names(text) == names(text, before_record=lambda: "")


def names(line: str, **options: Any) -> set[str]:
    detector = Detector(SHIPPED, source="audit", **options)
    return {verdict.rule.name for verdict in detector.feed([line.encode()]) + detector.flush()}


@pytest.mark.parametrize("name", IN_CLEAR)
def test_a_secret_in_clear_raises_an_alert_that_does_not_repeat_it(name: str) -> None:
    detector = Detector(SHIPPED, source="audit")
    ordinary = b'{"type":"request","request":{"id":"r","path":"a"}}'
    verdicts = detector.feed([ordinary, *(DATA / name).read_bytes().splitlines(), ordinary]) + detector.flush()
    (found,) = [alert_of(one) for one in verdicts if one.rule.name == "audit_secret_in_clear"]
    assert found.level is Level.HIGH
    assert "[redacted sha256:" in json.dumps(found.record)
    assert b"CAESIRAW" not in msgspec.json.encode(found)


@pytest.mark.parametrize("product", ["vault-1.14.2", "openbao-2.6.2"])
def test_ordinary_logs_contain_no_secret(product: str) -> None:
    log = Path(__file__).parents[1] / "data" / "recordings" / product / "ordinary-day" / "audit.jsonl"
    assert not any(holds_secret(json.loads(line)) for line in log.read_bytes().splitlines())


def test_a_value_nested_without_end_is_cut() -> None:
    value: Any = "hvs.CAESIRAWTOKENEXAMPLE"
    for _ in range(5_000):
        value = [value]
    left = redacted(value)
    for _ in range(120):
        (left,) = left
    assert left == "[left out: nested too deeply]"


@pytest.mark.parametrize("piece", ["hvs.", "hvs.abcdefgh ", "\\", "%", "s.a", "authorization: ", "basic ", "\\u00"])
def test_the_work_is_linear_in_the_text(piece: str) -> None:
    assert growth(lambda size: redacted_text(piece * size), 5_000) < 3
