"""`vaultwatch probe`: what Vault, syslog-ng and the disks of a machine say, as text and as metrics."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.support.certificates import make_certificates
from tests.support.exposition import read_metrics, value
from vaultwatch.cli import main
from vaultwatch.watch import probe as watch_probe

HEALTHY = {"initialized": True, "sealed": False, "standby": False, "version": "2.6.2"}
STATISTICS = """SourceName;SourceId;SourceInstance;State;Type;Number
dst.program;d_vaultwatch_audit_handler#0;/opt/vaultwatch watch;a;dropped;0
dst.program;d_vaultwatch_audit_handler#0;/opt/vaultwatch watch;a;processed;1741
dst.program;d_vaultwatch_audit_handler#0;/opt/vaultwatch watch;a;queued;12
dst.file;d_vaultwatch_audit_file#0;/var/log/vault/audit;a;dropped;3
dst.file;d_other#0;/var/log/other;a;dropped;9
"""
Probe = Callable[..., tuple[int, str, str]]


class Vault:
    """Answers as Vault does where `vaultwatch probe` asks; the test sets what."""

    def __init__(self) -> None:
        self.health: Any = HEALTHY
        self.status = 200
        self.accepted = "canary-token"
        self.tokens: list[str | None] = []
        self.paths: list[str] = []
        vault = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                vault.paths.append(self.path.partition("?")[0])
                if self.path.startswith("/v1/sys/health?"):
                    self._answer(vault.status, vault.health)
                    return
                vault.tokens.append(self.headers.get("X-Vault-Token"))
                is_known = self.path == "/v1/auth/token/lookup-self" and vault.tokens[-1] == vault.accepted
                self._answer(200 if is_known else 403, {"data": {"expire_time": "2026-12-31T09:00:00Z"}})

            def _answer(self, status: int, content: Any) -> None:
                body = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def use_certificate(self, file: Path) -> str:
        """Answer with TLS from now on, and return the new address."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(file)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        return f"https://localhost:{self.server.server_port}"


@pytest.fixture
def vault() -> Iterator[Vault]:
    with ExitStack() as stack:
        made = Vault()
        stack.callback(made.server.server_close)
        stack.callback(made.server.shutdown)
        yield made


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Probe:
    """Run the command on a machine without syslog-ng, unless a test puts it there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(watch_probe, "_ADMINISTRATORS", str(tmp_path))

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        status = main(["probe", *map(str, arguments)])
        return (status, *capsys.readouterr())

    return run


def put_syslog_ng(tmp_path: Path, script: str) -> None:
    program = tmp_path / "syslog-ng-ctl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_a_vault_that_serves_has_no_problem(vault: Vault, probe: Probe) -> None:
    assert probe("--address", vault.url) == (0, "vault      active\n", "")


@pytest.mark.parametrize(
    ("health", "problem"),
    [
        ({**HEALTHY, "sealed": True}, "Vault is sealed"),
        ({**HEALTHY, "initialized": False, "sealed": True}, "Vault is not initialized"),
        (b"<html>\x1b[2J", "Vault does not answer: its answer cannot be read"),
        ({}, "Vault does not answer: its answer cannot be read"),
    ],
)
def test_one_that_does_not_is_a_problem(vault: Vault, probe: Probe, health: Any, problem: str) -> None:
    vault.health = health
    status, shown, _ = probe("--address", vault.url)
    assert (status, shown.splitlines()[-1]) == (1, f"problem    {problem}")


def test_neither_is_one_that_answers_with_an_error_or_not_at_all(vault: Vault, probe: Probe) -> None:
    vault.status = 500
    assert probe("--address", vault.url)[:2] == (1, "problem    Vault does not answer: it answered 500\n")
    assert probe("--address", "http://127.0.0.1:1")[:2] == (1, "problem    Vault does not answer: Connection refused\n")


def test_vault_is_known_by_its_certificate_whose_end_is_a_metric(vault: Vault, probe: Probe, tmp_path: Path) -> None:
    certificates, metrics = make_certificates(tmp_path), tmp_path / "probe.prom"
    address = vault.use_certificate(certificates.server)
    status, shown, _ = probe("--address", address)
    assert status == 1
    assert shown.startswith("problem    Vault does not answer: its certificate is not accepted: ")
    assert probe("--address", address, "--ca-file", certificates.authority, "--metrics", metrics)[0] == 0
    ends = value(read_metrics(metrics.read_bytes()), "vaultwatch_vault_certificate_end_timestamp_seconds")
    assert 0 < ends - time.time() <= 86_400
    status, _, error = probe("--address", address, "--ca-file", tmp_path / "none.pem")
    assert (status, error) == (2, f"vaultwatch: --ca-file: {tmp_path}/none.pem: No such file or directory\n")


@pytest.mark.parametrize("address", ["", "127.0.0.1:8200", "ftp://vault", "https://", "http://vault:99999"])
def test_an_address_that_is_none_is_an_error(probe: Probe, address: str) -> None:
    status, shown, error = probe("--address", address)
    assert (status, shown) == (2, "")
    assert error.startswith("vaultwatch: --address: not a URL of http or https: ")


def test_the_canary_calls_with_its_token_unless_vault_is_sealed(vault: Vault, probe: Probe, tmp_path: Path) -> None:
    token, metrics = tmp_path / "token", tmp_path / "probe.prom"
    token.write_text("canary-token\n")
    assert probe("--address", vault.url, "--canary-token-file", token, "--metrics", metrics) == (0, "", "")
    found = read_metrics(metrics.read_bytes())
    assert value(found, "vaultwatch_canary_accepted") == 1
    assert value(found, "vaultwatch_canary_token_end_timestamp_seconds") == 1798707600
    vault.accepted = ""
    status, shown, _ = probe("--address", vault.url, "--canary-token-file", token)
    assert (status, shown.splitlines()[-1]) == (1, "problem    Vault refuses the call of the canary: it answered 403")
    vault.health = {**HEALTHY, "sealed": True}
    probe("--address", vault.url, "--canary-token-file", token)
    assert vault.tokens == ["canary-token"] * 2


def test_queues_and_what_they_dropped_are_those_of_vaultwatch(vault: Vault, probe: Probe, tmp_path: Path) -> None:
    (tmp_path / "statistics").write_text(STATISTICS)
    put_syslog_ng(tmp_path, f"/bin/cat {tmp_path}/statistics")
    status, shown, _ = probe("--address", vault.url)
    assert (status, shown.splitlines()) == (
        1,
        [
            "vault      active",
            "syslog-ng  d_vaultwatch_audit_file: 0 lines queued, 3 dropped",
            "syslog-ng  d_vaultwatch_audit_handler: 12 lines queued, 0 dropped",
            "problem    syslog-ng has dropped 3 lines for d_vaultwatch_audit_file",
        ],
    )
    metrics = tmp_path / "probe.prom"
    probe("--address", vault.url, "--metrics", metrics)
    found = read_metrics(metrics.read_bytes())
    queued = {"destination": "d_vaultwatch_audit_handler"}
    assert value(found, "vaultwatch_syslog_ng_queued_lines", **queued) == 12
    assert len(found["vaultwatch_syslog_ng_dropped_lines_total"]) == 2


def test_a_syslog_ng_that_does_not_run_is_a_problem(vault: Vault, probe: Probe, tmp_path: Path) -> None:
    put_syslog_ng(tmp_path, "echo 'no socket' >&2; exit 1")
    assert probe("--address", vault.url)[:2] == (
        1,
        "vault      active\nproblem    syslog-ng does not answer: no socket\n",
    )
    metrics = tmp_path / "probe.prom"
    assert probe("--address", vault.url, "--metrics", metrics)[0] == 0
    assert value(read_metrics(metrics.read_bytes()), "vaultwatch_syslog_ng_up") == 0


def test_disks(vault: Vault, probe: Probe, tmp_path: Path) -> None:
    status, shown, _ = probe("--address", vault.url, "--disk", tmp_path)
    assert status == 0
    assert shown.splitlines()[1].startswith(f"disk       {tmp_path}: ")
    metrics = tmp_path / "probe.prom"
    lost = ("--address", vault.url, "--disk", tmp_path / "lost", "--disk", tmp_path)
    status, shown, _ = probe(*lost)
    assert (status, shown.splitlines()[-1]) == (1, f"problem    {tmp_path}/lost cannot be read")
    probe(*lost, "--metrics", metrics)
    found = read_metrics(metrics.read_bytes())
    assert value(found, "vaultwatch_disk_readable", path=str(tmp_path / "lost")) == 0
    assert 0 < value(found, "vaultwatch_disk_used_ratio", path=str(tmp_path)) < 1
    assert value(found, "vaultwatch_vault_up") == 1


def test_syslog_ng_is_found_where_cron_does_not_look(
    vault: Vault, probe: Probe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sbin").mkdir()
    put_syslog_ng(tmp_path / "sbin", "exit 0")
    monkeypatch.setattr(watch_probe, "_ADMINISTRATORS", str(tmp_path / "sbin"))
    metrics = tmp_path / "probe.prom"
    probe("--address", vault.url, "--metrics", metrics)
    assert value(read_metrics(metrics.read_bytes()), "vaultwatch_syslog_ng_up") == 1
    probe("--address", vault.url, "--metrics", metrics, "--no-syslog-ng")
    assert "vaultwatch_syslog_ng_up" not in read_metrics(metrics.read_bytes())


def test_a_syslog_ng_that_is_expected_and_not_installed_is_a_problem(
    vault: Vault, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_probe, "_ADMINISTRATORS", "/nonexistent")
    status, shown, _ = probe("--address", vault.url, "--syslog-ng")
    assert (status, shown.splitlines()[-1]) == (1, "problem    syslog-ng does not answer: it is not installed")


def test_whoever_answers_byte_by_byte_is_not_waited_for(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_probe, "_TIMEOUT_SECONDS", 0.2)
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

        def drip() -> None:
            connection, _ = listening.accept()
            with connection, suppress(OSError):
                while True:
                    connection.sendall(b"H")
                    time.sleep(0.05)

        Thread(target=drip, daemon=True).start()
        status, shown, _ = probe("--address", f"http://127.0.0.1:{listening.getsockname()[1]}")
    assert (status, shown) == (1, "problem    Vault does not answer: no answer in 0 seconds\n")


def test_a_path_in_the_address_begins_that_of_each_call(vault: Vault, probe: Probe) -> None:
    status, shown, _ = probe("--address", f"{vault.url}/behind/")
    assert status == 1
    assert vault.paths == ["/behind/v1/sys/health"]
    assert shown == "problem    Vault does not answer: it answered 403\n"
