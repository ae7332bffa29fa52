"""A line with neither time nor level is a message of its own; one that no server is known to write is counted."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from vaultwatch.detection.detector import Detector
from vaultwatch.reading.unclear import is_unclear

ROOT = Path(__file__).parents[3]
LOGS = sorted((ROOT / "tests/data/recordings").rglob("server*"))
HEAD = b"2026-11-21T07:29:41.100Z [INFO]  core: vault is unsealed"
ENTRY = b'{"type":"request","time":"2026-11-21T07:29:41Z","request":{"id":"1","path":"sys/mounts","operation":"read"}}'
OF_A_SERVER = [
    *(
        b"==> Vault server configuration:",
        b"             Api Address: http://127.0.0.1:8200",
        b"Administrative Namespace:",
    ),
    *(b'              Listener 1: tcp (addr: "127.0.0.1:8200", tls: "disabled")', b"Error initializing core: no seal"),
    b"error loading configuration from /etc/openbao/openbao.hcl: At 1:11: object expected closing RBRACE got: EOF",
    b'Error configuring seal "transit": Put "http://127.0.0.1:1/v1/transit/encrypt/k": connection refused',
    b"error initializing storage of type raft: failed to create fsm: failed to open bolt file: timeout",
    *(b"panic: runtime error: x", b"[signal SIGSEGV: segmentation violation]", b"goroutine 1 [running]:"),
    b"github.com/hashicorp/vault/vault.(*Core).handleRequest(0xc000a2c000, {0x9a3b4c0, 0xc0019f2d80})",
    *(b"\t/home/runner/work/vault/vault/request_handling.go:1042 +0x1d4", b"net/http.(*conn).serve(0xc0003e2000)"),
    *(b"created by net/http.(*Server).Serve in goroutine 77", b"...additional frames elided...", b"main.main()"),
    *(b"fatal error: all goroutines are asleep - deadlock!", b"1 error occurred:", b"\t* permission denied"),
    *(b"WARNING! dev mode is enabled! In this mode, Vault runs entirely in-memory", b"Root Token: [redacted]"),
    *(b"    $ export VAULT_ADDR='http://127.0.0.1:8200'", b"The unseal key and root token are displayed below in case"),
    *(b'WARNING: storage configured to use "inmem" which should NOT be used in', b"production"),
    b"WARNING! A non-fatal error occurred during initialization. Please check the",
    *(b"WARNING! Unable to read storage migration status.", b"Error parsing listener configuration."),
    *(b"chown: /vault/config/local.json: Read-only file system", b"unexpected fault address 0x7f4a99104000"),
    b"Could not chown /vault/config (may not have appropriate permissions)",
    *(b"runtime: out of memory: cannot allocate 4194304-byte block", b"file."),
    *(b"This usually means that the mlock syscall is not available.", b"disk. This requires root privileges as well"),
    b'Failed to initiate raft retry join, "failed to create tls config to communicate with leader node"',
    *(b"logs for more information.", b"The recovery key and root token are displayed below in case you want to"),
]
IN_ANOTHER_FORM = {
    "base64": base64.b64encode(ENTRY),
    "hexadecimal": ENTRY.hex().encode(),
    "hexdump": b"00000000: 7b22 7479 7065 223a 2272 6571 7565 7374  .type.:.request",
    "attributes": b'<e msg="' + ENTRY.replace(b'"', b"&quot;") + b'"/>',
    "URL": ENTRY.replace(b'"', b"%22").replace(b"{", b"%7B"),
    "YAML": b"    operation: read",
    "numbered": b"  84 panic: runtime error: x",
    "a column": b"2026-11-21 07:31:00.274,panic: runtime error: x,s,123:vault",
    "a bullet": b"- panic: runtime error: x",
    "a name before it": b"Message: {%22type%22}",
}


def unclear(*lines: bytes) -> int:
    detector = Detector([], unwrap=True)
    detector.begin_log(lines[0], name="log")
    detector.feed(list(lines))
    detector.flush()
    return detector.counts.unclear


@pytest.mark.parametrize("log", LOGS, ids=lambda log: "/".join(log.parts[-3:-1]))
def test_nothing_is_that_a_real_server_has_written(log: Path) -> None:
    assert unclear(*log.read_bytes().splitlines(keepends=True)) == 0


@pytest.mark.parametrize("line", OF_A_SERVER)
def test_nothing_is_that_servers_write_with_neither_time_nor_level(line: bytes) -> None:
    assert not is_unclear(line)
    assert unclear(HEAD, line) == 0


@pytest.mark.parametrize("line", IN_ANOTHER_FORM.values(), ids=IN_ANOTHER_FORM)
def test_a_line_in_a_form_that_is_not_known_is_counted(line: bytes) -> None:
    assert (unclear(HEAD, line, HEAD), unclear(HEAD, HEAD)) == (1, 0)


def test_what_continues_a_message_is_not() -> None:
    assert unclear(HEAD + b":", b"  error=", b"  | anything", b"  | at all", HEAD) == 0


def test_a_crash_behind_dashes_is_no_comment_of_sql() -> None:
    assert unclear(b"-- " + HEAD, b"-- panic: runtime error: x") == 1


def test_a_row_with_an_entry_in_columns_of_its_own_is_no_blank_line() -> None:
    heading = b"time,message,request.path,request.operation\n"
    assert unclear(heading, b"1," + HEAD + b",,\n", b"2,,sys/seal,update\n") == 1
