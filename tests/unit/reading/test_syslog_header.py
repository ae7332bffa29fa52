"""Headers in front of a line: who wrote it, when, and where the message begins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import server_log
from vaultwatch.reading.syslog_header import NO_HEADER, Header, strip_syslog_header

MESSAGE = b"2026-11-21T07:29:41.065Z [INFO]  core: vault is unsealed"


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        (b"<13>Nov 21 07:29:41 host-1 vault[123]: ", Header("host-1", "vault", "123", "Nov 21 07:29:41")),
        (b"Nov  1 07:29:41 10.0.0.1 bao: ", Header("10.0.0.1", "bao", "", "Nov  1 07:29:41")),
        (b"Nov 21 07:29:41.065830 host vault[123]: ", Header("host", "vault", "123", "Nov 21 07:29:41.065830")),
        (b"<13>Nov 21 07:29:41 vault[123]: ", Header("", "vault", "123", "Nov 21 07:29:41")),
        (b"<13>Nov 21 07:29:41 vault: ", Header("", "vault", "", "Nov 21 07:29:41")),
        (b"<13>Nov 21 07:29:41 host ", Header("host", "", "", "Nov 21 07:29:41")),
        (b"2026-10-02T06:28:49+02:00 host vault[1]: ", Header("host", "vault", "1", "2026-10-02T06:28:49+02:00")),
        (b"2026-10-02T06:28:49+0200 host vault[1]: ", Header("host", "vault", "1", "2026-10-02T06:28:49+0200")),
        (b"<30>2026-10-02T06:28:49.123456Z host x-y[1]: ", Header("host", "x-y", "1", "2026-10-02T06:28:49.123456Z")),
        (b"Sat 2026-11-21 07:29:41 UTC host vault[1]: ", Header("host", "vault", "1", "Sat 2026-11-21 07:29:41 UTC")),
        (b"1795246181.065830 host vault[1]: ", Header("host", "vault", "1", "1795246181.065830")),
        (b"[ 4181.065830] host vault[1]: ", Header("host", "vault", "1")),
        (b"[ 4181.065830 <    0.000021 >] host vault[1]: ", Header("host", "vault", "1")),
        (b"<14>1 2026-11-21T07:29:41Z host vault 123 - - ", Header("host", "vault", "123", "2026-11-21T07:29:41Z")),
        (
            b'<14>1 2026-11-21T07:29:41Z h v - ID [a@1 k="]\\""][b] \xef\xbb\xbf',
            Header("h", "v", "", "2026-11-21T07:29:41Z"),
        ),
        (b"<14>1 - - vault - - - ", Header("", "vault", "", "")),
        (b"vault[123]: ", Header("", "vault", "123", "")),
        (b"vault: ", Header("", "vault", "", "")),
        (b"<13>openbao[9]: ", Header("", "openbao", "9", "")),
        (b"vault-gcp-0 vault: ", Header("vault-gcp-0", "vault", "", "")),
        (b"2026-11-21T07:29:41.065830008Z stderr F ", Header("", "", "", "2026-11-21T07:29:41.065830008Z")),
        (b"2026-11-21T07:29:41.065830008Z ", Header("", "", "", "2026-11-21T07:29:41.065830008Z")),
        (b"vault-1  | ", Header("", "vault-1", "", "")),
        (b"[pod/vault-0/vault] ", Header("vault-0", "vault", "", "")),
        (
            b"[pod/vault-0/vault] 2026-11-21T07:29:41.065830008Z ",
            Header("vault-0", "vault", "", "2026-11-21T07:29:41.065830008Z"),
        ),
    ],
)
def test_header_is_split_off(prefix: bytes, expected: Header) -> None:
    assert strip_syslog_header(prefix + MESSAGE) == (expected, MESSAGE)
    assert strip_syslog_header(prefix + b'{"@level":"info"}') == (expected, b'{"@level":"info"}')


@pytest.mark.parametrize(
    "prefix",
    [b"<13>Nov 21 07:29:41 h vault[1]: ", b"2026-11-21T07:29:41Z stderr F ", b"vault: ", b"[pod/vault-0/vault] "],
)
def test_indentation_of_a_continuation_line_is_kept_and_an_empty_message_is_empty(prefix: bytes) -> None:
    assert strip_syslog_header(prefix + b"  | text")[1] == b"  | text"
    assert strip_syslog_header(prefix + b"  error=")[1] == b"  error="
    assert strip_syslog_header(prefix)[1] == b""
    assert strip_syslog_header(prefix.rstrip())[1] == b"", "journald strips trailing space"


@pytest.mark.parametrize(
    "line",
    [
        MESSAGE,
        b"2026-10-02T06:28:49.851+0200 [ERROR] audit: backend failed to log request: backend=file/",
        b"2017/07/15 19:18:28.663808 [INFO ] core: vault is unsealed",
        b"2018-08-15 11:04:10.025470 I | http: TLS handshake error from 10.65.243.28:29075: EOF",
        b"2022/01/01 00:00:00 http: TLS handshake error from 10.0.0.1:1: EOF",
        b"==> Vault server configuration:",
        b"             Api Address: http://127.0.0.1:8200",
        b'Error configuring seal "transit": error dialing',
        b"panic: runtime error",
        b"goroutine 1 [running]:",
        b"  | \\t* dial tcp",
        b"  error=",
        b'{"@level":"info"}',
        b"",
    ],
)
def test_plain_line_has_no_header(line: bytes) -> None:
    assert strip_syslog_header(line) == (NO_HEADER, line)


def test_words_of_the_message_are_not_taken_for_a_host() -> None:
    header, message = strip_syslog_header(b"2026-11-21T07:29:41Z error: oops: x")
    assert (header.time, header.host, message) == ("2026-11-21T07:29:41Z", "", b"error: oops: x")


@given(st.binary(max_size=200))
def test_the_message_is_the_end_of_the_line(line: bytes) -> None:
    assert line.endswith(strip_syslog_header(line)[1])


@pytest.mark.parametrize("part", server_log.HEADERS)
def test_a_hostile_mebibyte_does_not_hang(part: tuple[bytes, bytes]) -> None:
    strip_syslog_header(server_log.of_length(part, 1 << 20))
