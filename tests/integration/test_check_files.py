"""`vaultwatch check` as a process: pipes, signals, full disks, and what it loads."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from tests.support.waiting import HUNG_SECONDS

ROOT = Path(__file__).parents[2]
AUDIT = ROOT / "tests" / "data" / "recordings" / "vault-1.14.2" / "generate-root" / "audit.jsonl"
CHECK = [sys.executable, "-m", "vaultwatch", "check"]
HEAVY = {"sigma", "boto3", "botocore", "rich", "yaml", "asyncio", "pydantic", "requests", "zoneinfo", "sqlite3"}


def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[bytes]:
    given = {"timeout": HUNG_SECONDS} | ({"stdin": subprocess.DEVNULL} if "input" not in options else {})
    return subprocess.run(  # type: ignore[call-overload,no-any-return]  # the options are those of run
        [*CHECK, *map(str, arguments)], capture_output=True, cwd=ROOT, check=False, **given, **options
    )


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    script = command.replace("CHECK", " ".join(CHECK)).replace("AUDIT", str(AUDIT))
    return subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        cwd=ROOT,
        timeout=HUNG_SECONDS,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """More alerts than a pipe can hold."""
    path = tmp_path / "many.jsonl"
    entry = {"type": "response", "request": {"id": "", "path": "sys/seal", "operation": "update"}}
    lines = [json.dumps({**entry, "request": {**entry["request"], "id": f"e{n}"}}) for n in range(2_000)]  # type: ignore[dict-item]
    path.write_text("\n".join(lines) + "\n")
    return path


class TestStdin:
    @pytest.mark.parametrize("encode", [bytes, gzip.compress, zstandard.compress])
    @pytest.mark.parametrize("name", [["-"], []])
    def test_is_read_with_any_compression(self, encode: object, name: list[str]) -> None:
        assert callable(encode)
        found = run(*name, "--format", "json", input=encode(AUDIT.read_bytes()))
        assert (found.returncode, len(found.stdout.splitlines())) == (1, 7)

    def test_an_empty_one_is_an_error(self) -> None:
        found = run(input=b"")
        assert (found.returncode, found.stdout) == (2, b"")
        assert found.stderr.startswith(b"vaultwatch: stdin: there is no log to read: it is empty")
        assert run("--allow-empty", input=b"").returncode == 0

    def test_a_closed_one_is_an_error(self) -> None:
        found = shell("CHECK - <&-")
        assert found.returncode == 2
        assert b"Traceback" not in found.stderr


class TestOutput:
    def test_its_reader_may_close_it(self, many: Path) -> None:
        found = shell(f"CHECK --format json {many} {many} | head -1")
        assert (found.returncode, found.stderr) == (0, b"")
        assert json.loads(found.stdout)["event_key"] == "e0"

    @pytest.mark.parametrize("form", ["json", "table"])
    def test_a_full_disk_is_reported_and_not_as_an_error_of_the_input(self, form: str, many: Path) -> None:
        found = shell(f"CHECK --format {form} {many} > /dev/full")
        assert found.returncode == 2
        assert found.stderr.splitlines()[-1] == b"vaultwatch: cannot write: No space left on device"
        assert many.name.encode() not in found.stderr

    @pytest.mark.parametrize("option", ["--stats", "--rejected"])
    def test_a_full_disk_of_a_report_is_reported_too(self, option: str) -> None:
        found = run(option, "/dev/full", "-", input=b"broken\n")
        assert found.returncode == 2
        assert b"cannot write: No space left on device" in found.stderr
        assert b"Traceback" not in found.stderr

    @pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
    @pytest.mark.parametrize("form", ["json", "table"])
    def test_a_closed_one_changes_no_status(self, closed: str, form: str) -> None:
        found = shell(f"CHECK --format {form} AUDIT {closed}")
        assert found.returncode == 1
        assert b"Traceback" not in found.stderr

    @pytest.mark.parametrize("closed", [">&-", "2>&-"])
    def test_a_closed_one_does_not_change_the_status_without_alerts(self, closed: str) -> None:
        assert shell(f"CHECK --allow-empty {closed} </dev/null").returncode == 0

    def test_other_commands_report_it_too(self) -> None:
        found = shell(f"{sys.executable} -m vaultwatch rules list > /dev/full")
        assert (found.returncode, found.stderr) == (2, b"vaultwatch: cannot write: No space left on device\n")

    @pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
    def test_a_terminal_with_few_characters_gets_escapes(self, encoding: str) -> None:
        entry = {"type": "response", "auth": {"display_name": "é中…"}, "request": {"id": "e", "path": "sys/seal"}}
        entry["request"] |= {"operation": "update"}  # type: ignore[operator]
        found = run("-", input=json.dumps(entry).encode(), env={**os.environ, "PYTHONIOENCODING": encoding})
        assert found.returncode == 1
        assert b"Traceback" not in found.stderr


def test_ctrl_c_ends_it_with_the_alerts_that_were_found() -> None:
    command = [*CHECK, "--progress", "--format", "json"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        entry = b'{"type":"response","request":{"id":"e%d","path":"sys/seal","operation":"update"}}\n'
        process.stdin.write(b"".join(entry % number for number in range(800)))
        process.stdin.flush()
        assert b"\r" in process.stderr.read(1)  # it has evaluated the first of them
        process.send_signal(signal.SIGINT)
        found, said = process.communicate(timeout=HUNG_SECONDS)
        assert b"Traceback" not in said
        assert json.loads(found.splitlines()[0])["event_key"] == "e0"
        assert process.returncode in (130, 1)  # 1: it had finished before the signal


@pytest.mark.parametrize("lines", ["audit.jsonl", "server.log"])
def test_the_shipped_rules_need_none_of_the_heavy_modules(lines: str) -> None:
    script = (
        "import sys; from vaultwatch.cli import main; "
        f"status = main(['check', {str(AUDIT.with_name(lines))!r}]); "
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr); sys.exit(status)"
    )
    command = [sys.executable, "-c", script]
    found = subprocess.run(command, capture_output=True, cwd=ROOT, timeout=HUNG_SECONDS, check=False)
    assert found.returncode == 1
    loaded = set(found.stderr.decode().splitlines()[-1].split())
    assert "vaultwatch" in loaded
    assert loaded & HEAVY == set()
