"""Hostile requests to a real OpenBao: what it writes about them hides neither these acts nor those beside them.

Each request writes a policy of its own, once without a token and once with one, and after each an administrator
generates a root token. The audit log goes through `check`'s detector, and in frames through evaluate and sweep.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from testbed.processes import end, start
from testbed.syslog_ng import free_port
from tests.support.functions import AUDIT_TAG, world
from tests.support.waiting import HUNG_SECONDS, eventually
from vaultwatch.alerts import Alert, alert_of
from vaultwatch.detection.detector import Detector
from vaultwatch.dispatch.notification import NOTIFIED
from vaultwatch.rules.pack import shipped_rules

pytestmark = pytest.mark.skipif(not shutil.which("bao"), reason="no bao")
LONGEST = 96 * 1024 * 1024  # log-msg-size
BEYOND_LOG_MSG_SIZE = b'"%s":1' % (b"<" * (LONGEST // 6 + 100_000))
POLICY = b'{"policy":"path \\"a\\" {}",%s}'
ROOT = "audit_root_generation_completed"
WRITTEN = "audit_policy_written"


def _names(count: int) -> bytes:
    return b",".join(b'"%d":0' % number for number in range(count))


BODIES: dict[str, bytes] = {
    "an ordinary one": b'"a":1',
    "a name that Go escapes": b'"%s":1' % (b"<" * 300_000),
    "nesting": b'"a":' + b"[" * 9_000 + b"]" * 9_000,
    "nested objects": b'"a":' + b'{"a":' * 5_000 + b"0" + b"}" * 5_000,
    "many values": b'"a":[%s]' % b",".join([b"[]"] * 15_000),
    "many names": _names(5_000),
    "control characters": b'"\\u0000\\u001b[2J\\r\\n\\u2028\\u202e":"\\u0000"',
    "wide characters": '"\U0001f600\u2028\u0085":1'.encode(),
    "bytes that are no UTF-8": b'"\xff\xfe\xed\xa0\x80\xc0":1',
    "lone surrogates": b'"\\ud800":"\\udfff"',
    "an entry": b'"type":"response","request":{"id":"x","path":"sys/seal"},"error":"permission denied"',
    "names twice": b'"policy":"path \\"b\\" {}","a":1,"a":2',
    "large numbers": b'"a":%s' % (b"9" * 300),
}
HEADERS: dict[str, Mapping[str, str]] = {
    "another method": {"X-HTTP-Method-Override": "DELETE"},
    "ids of a request": {"X-Request-Id": "forged", "X-Vault-Request-Id": "forged", "X-Correlation-Id": "forged"},
    "another address": {"X-Forwarded-For": "192.0.2.1", "Forwarded": "for=192.0.2.1"},
    "a wrapped response": {"X-Vault-Wrap-TTL": "60"},
    "an override": {"X-Vault-Policy-Override": "true"},
    "the root namespace": {"X-Vault-Namespace": "root"},
    "a form": {"Content-Type": "application/x-www-form-urlencoded"},
    "a long header": {"X-Junk": "<" * 500_000},
}
WORKFLOW = """flow "%(name)s" {
  request "one" { operation = "update" path = "sys/policies/acl/w1" data = { policy = "path \\"a\\" {}" } }
  request "two" { operation = "update" path = "sys/policies/acl/w2" data = { policy = "path \\"a\\" {}" } }
}
"""
PATHS = {
    "escaped characters": "sys/%70olicies/acl/",
    "an escaped slash": "sys/policies%2facl/",
    "the old name": "sys/policy/",
    "capitals": "SYS/policies/acl/",
}


class OpenBao:
    """A server with one audit device, and its administrator."""

    def __init__(self, folder: Path) -> None:
        self.audit, self._port = folder / "audit.jsonl", free_port()
        configuration = folder / "bao.hcl"
        configuration.write_text(
            f'storage "inmem" {{}}\ndisable_mlock = true\napi_addr = "http://127.0.0.1:{self._port}"\n'
            f'listener "tcp" {{\n address = "127.0.0.1:{self._port}"\n tls_disable = true\n}}\n'
            f'audit "file" "file" {{\n options {{ file_path = "{self.audit}" }}\n}}\n'
        )
        log = (folder / "log").open("wb")
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        self.process = start(["bao", "server", f"-config={configuration}"], log.fileno(), environment, folder)
        log.close()
        eventually(self._answers)
        made = self.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})[1]
        self.key, self.token = made["keys_base64"][0], made["root_token"]
        self.call("PUT", "sys/unseal", {"key": self.key})
        eventually(lambda: self.call("GET", "sys/health")[0] == 200)

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | bytes = b"", token: str = "", **headers: str
    ) -> tuple[int, Any]:
        """Make one call, and return the status and the JSON of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=HUNG_SECONDS)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        all_headers = {**headers, **({"X-Vault-Token": token} if token else {})}
        try:
            connection.request(method, f"/v1/{path}", data, all_headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        return answer.status, json.loads(content) if content[:1] == b"{" else None

    def generate_root(self) -> None:
        """Generate a root token."""
        nonce = self.call("PUT", "sys/generate-root-token/attempt", {}, self.token)[1]["data"]["nonce"]
        share = {"key": self.key, "nonce": nonce}
        status, answer = self.call("PUT", "sys/generate-root-token/update", share, self.token)
        assert (status, answer["data"]["complete"]) == (200, True)

    def _answers(self) -> bool:
        try:
            return self.call("GET", "sys/seal-status")[0] == 200
        except OSError:
            return False


class Session:
    """What was sent: each policy with the status of the answer, and how many root tokens were generated."""

    def __init__(self, server: OpenBao) -> None:
        self._server = server
        self.sent: dict[str, tuple[int, str]] = {}
        self.roots = 0

    def send(
        self, about: str, path: str = "sys/policies/acl/", body: bytes = BODIES["an ordinary one"], **given: Any
    ) -> None:
        """Write a policy without a token and with one, and generate a root token after each."""
        for token in ("", self._server.token):
            self.send_once(about, path, body, token, **given)

    def send_once(self, about: str, path: str, body: bytes, token: str, headers: Mapping[str, str] = {}) -> None:
        """Write a policy, and generate a root token."""
        name = f"p{len(self.sent)}"
        status, _ = self._server.call("PUT", path + name, POLICY % body, token, **headers)
        self.sent[name] = (status, f"{about}, {'with' if token else 'without'} a token")
        self._generate_root()

    def run_workflow(self) -> None:
        """Write two policies by a workflow whose author chose a long name, with which the ids of its requests go on."""
        server, workflow = self._server, {"workflow": WORKFLOW % {"name": "A" * 1500}}
        assert server.call("PUT", "sys/workflows/manage/w", workflow, server.token)[0] == 200
        status, _ = server.call("PUT", "sys/workflows/execute/w", {}, server.token)
        self.sent |= dict.fromkeys(("w1", "w2"), (status, "a workflow"))
        self._generate_root()

    def _generate_root(self) -> None:
        self._server.generate_root()
        self.roots += 1


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, list[bytes]]:
    """The session, and the lines that it left, divided as syslog-ng divides them."""
    folder = tmp_path_factory.mktemp("bao")
    server = OpenBao(folder)
    try:
        made = Session(server)
        for about, body in BODIES.items():
            made.send(about, body=body)
        for about, headers in HEADERS.items():
            made.send(about, headers=headers)
        for about, path in PATHS.items():
            made.send(about, path=path)
        made.run_workflow()
        made.send_once("a line beyond log-msg-size", "sys/policies/acl/", BEYOND_LOG_MSG_SIZE, server.token)
    finally:
        end(server.process)
    with server.audit.open("rb") as file:  # line by line: the largest take 200 MB
        lines = [line[at : at + LONGEST] for line in file for at in range(0, len(line), LONGEST)]
    shutil.rmtree(folder)
    return made, lines


def alerts_in(lines: Sequence[bytes]) -> tuple[list[Alert], list[bytes]]:
    """Return the alerts that `check` raises, and the lines that it rejects."""
    rejected: list[bytes] = []
    detector = Detector(shipped_rules(), source="audit", on_rejected=lambda line: rejected.append(line.raw))
    verdicts = [*detector.feed(lines), *detector.flush()]
    assert not detector.counts.rule_errors
    return list(map(alert_of, verdicts)), rejected


def test_each_act_raises_its_alert_with_its_outcome_and_so_does_each_beside_it(
    session: tuple[Session, list[bytes]],
) -> None:
    made, lines = session
    alerts, rejected = alerts_in(lines)
    outcomes = {
        alert.path.rpartition("/")[2].rpartition("&")[2]: alert.outcome for alert in alerts if alert.rule == WRITTEN
    }
    for name, (status, about) in made.sent.items():
        expected = {"succeeded", "unknown"} if status < 300 else {"failed", None}
        assert outcomes.get(name) in expected, about
    assert len({alert.event_key for alert in alerts if alert.path.endswith(("acl/w1", "acl/w2"))}) == 2
    assert [alert.outcome for alert in alerts if alert.rule == ROOT] == ["succeeded"] * made.roots
    assert all(b"u003cu003c" in line[:100].replace(b"\\", b"") for line in rejected)  # the ends of long lines


def test_in_frames_they_raise_the_same_alerts_by_id(
    session: tuple[Session, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [line for line in session[1] if len(line) < 4 * 1024 * 1024]
    now = time.time()
    with world(monkeypatch) as aws:
        aws.now = now  # what is dated ahead of the clock of the functions is not counted
        for first in range(0, len(lines), 50):
            frame = aws.frame(*(AUDIT_TAG + line for line in lines[first : first + 50]))
            assert aws.evaluate(frame) == {"batchItemFailures": []}
        assert set(aws.alerts()) == {alert.id for alert in alerts_in(lines)[0]}
        notified = [alert for one in aws.published() if one.disposition in NOTIFIED for alert in one.alerts]
    assert ROOT in {alert.rule for alert in notified}
    assert "failed" in {alert.outcome for alert in notified if alert.rule == WRITTEN}
    assert "succeeded" in {alert.outcome for alert in notified if alert.rule == WRITTEN}
