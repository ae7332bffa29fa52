"""What a verdict holds: small whatever the record, and group values that are the same on every audit device."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.unit.detection.records import HEAD, SEAL, request, response, rule
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.verdict import Verdict
from vaultwatch.reading.bounds import MAX_RECORD_BYTES
from vaultwatch.reading.records import Origin
from vaultwatch.rules.conditions import Exists


def verdict(*lines: bytes, **facts: Any) -> Verdict:
    """The only verdict of a rule with these facts on everything."""
    service = "server" if lines[0] == HEAD % 1 else "audit"
    detector = Detector([rule(Exists("time", True), service=service, **facts)])  # type: ignore[arg-type]
    (found,) = detector.feed(lines) + detector.flush()
    return found


class TestGroupValues:
    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ((), ()),
            (("request.path",), ("sys/seal",)),
            (("auth.policies", "request.path"), ("a, b", "sys/seal")),
            (("request.data.none", "request.data.null", "request.path"), ("", "", "sys/seal")),
            (("request.data.yes", "request.data.number", "request.data"), ("true", "5", "")),
            (("request.data.salted",), ("",)),
            (("request.data.partly",), ("clear",)),
        ],
    )
    def test_are_one_text_for_each_field_and_never_a_salted_hash(
        self, fields: tuple[str, ...], expected: tuple[str, ...]
    ) -> None:
        data = {
            "null": None, "yes": True, "number": 5, "salted": "hmac-sha256:aa", "partly": ["hmac-sha256:aa", "clear"]
        }  # fmt: skip
        entry = request(auth={"policies": ["a", "b"]}, request={"id": "e1", "path": "sys/seal", "data": data})
        assert verdict(entry, group_by=fields).group_values == expected

    def test_of_a_request_are_completed_by_its_response(self) -> None:
        lines = request(), response(path="", response={"data": {"name": "x"}})
        assert verdict(*lines, group_by=("request.path", "response.data.name")).group_values == ("sys/seal", "x")

    def test_are_short(self) -> None:
        assert len(verdict(request(path="x" * 5_000), group_by=("request.path",)).group_values[0]) == 1024

    def test_paths_that_rules_read_alike_are_not_the_same(self) -> None:
        lines = request(path="sys/policies/acl//x"), response(path="sys/policies/acl//x")
        assert verdict(lines[0], group_by=("request.path",)).group_values == ("sys/policies/acl//x",)
        assert verdict(*lines, group_by=("request.path",)).group_values == ("sys/policies/acl//x",)

    def test_that_begin_alike_are_not_the_same(self) -> None:
        paths = ["x" * 5_000, "x" * 5_001, "x" * 4_999 + "y"]
        found = {verdict(request(path=path), group_by=("request.path",)).group_values for path in paths}
        assert len(found) == 3

    def test_of_lists_that_would_read_alike_are_not_the_same(self) -> None:
        lists: list[Any] = [
            ["a", "b"],
            "a, b",
            ["a, b"],
            ['"a', 'b"'],
            ['"a, b"'],
            '"a\\", "b"',
            ["a,", "b"],
            ["a", ",b"],
        ]
        found = {verdict(request(auth={"policies": one}), group_by=("auth.policies",)).group_values for one in lists}
        assert len(found) == len(lists) - 1  # a list of one text is that text

    def test_of_a_server_message(self) -> None:
        assert verdict(HEAD % 1, group_by=("fields.backend", "module")).group_values == ("siem/", "core")


class TestSize:
    def test_a_waiting_verdict_is_small_and_keeps_the_beginning_of_the_path(self) -> None:
        detector = Detector([rule(Exists("request.path", True))])
        detector.feed([request(path="x" * 2**20, auth={"metadata": {"a": "y" * 2**20}})])
        (waiting,) = detector.waiting()
        assert len(msgspec.json.encode(waiting.record)) <= MAX_RECORD_BYTES
        assert waiting.record["request"]["path"].startswith("x" * 1024)

    def test_its_response_is_small(self) -> None:
        found = verdict(request(), response(response={"data": {"a": "y" * 2**20}}))
        assert found.outcome == "succeeded"
        assert found.record["type"] == "request"
        assert len(msgspec.json.encode(found.response)) <= MAX_RECORD_BYTES

    def test_the_verdict_on_a_server_message_is_small(self) -> None:
        detector = Detector([rule(Exists("raw", True), service="server")], source="server")
        (found,) = detector.feed([(HEAD % 1).strip() + b"y" * 2**20]) + detector.flush()
        assert len(msgspec.json.encode(found.record)) <= MAX_RECORD_BYTES


class TestOrigin:
    def test_is_that_of_the_tag(self) -> None:
        (found,) = Detector([SEAL]).feed([b"@c/n/file " + response()])
        assert found.origin == Origin("c", "n", "file")

    def test_of_an_untagged_message_is_the_host_in_its_header(self) -> None:
        detector = Detector([rule(Exists("raw", True), service="server")])
        (found,) = detector.feed([b"<14>Nov 21 07:29:41 vault-a vault[812]: " + HEAD % 1]) + detector.flush()
        assert found.origin == Origin("", "vault-a", "")
