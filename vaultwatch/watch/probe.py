"""Ask Vault, syslog-ng and the disks of one machine how they are, for `vaultwatch probe`.

What a host of a deployment on AWS reports to CloudWatch, a machine that runs `vaultwatch watch` has as a file for
Prometheus. Vault is asked by `sys/health`, which needs no token. Whoever answers in its place may say anything: what
is read of an answer is bounded, and only numbers and truth values of it are shown.
"""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

import msgspec

from vaultwatch.errors import SettingError
from vaultwatch.exposition import Family, Sample, encode_metrics, single
from vaultwatch.printable import counted, one_line, quoted
from vaultwatch.reading.identity import parse_time

_TIMEOUT_SECONDS = 10.0
_MAX_ANSWER_BYTES = 64 * 1024
# Each state has status 200: a status of its own would say the same as the body.
_HEALTH = "/v1/sys/health?standbyok=true&perfstandbyok=true&sealedcode=200&uninitcode=200&drsecondarycode=200"
_CANARY_CALL = "/v1/auth/token/lookup-self"
_OURS = "d_vaultwatch_"
_ADMINISTRATORS = "/usr/local/sbin:/usr/sbin:/sbin"
_NO_ANSWER = (OSError, HTTPException, ValueError, msgspec.MsgspecError)
"""What is raised if Vault gives no answer, or one that is none."""


class _Health(msgspec.Struct, frozen=True):
    initialized: bool
    sealed: bool
    standby: bool = False


class _Token(msgspec.Struct, frozen=True):
    expire_time: str | None = None


class _Lookup(msgspec.Struct, frozen=True):
    data: _Token = _Token()


class Vault(NamedTuple):
    """What Vault answered.

    Attributes:
        problem: Why it gave no answer; "" if it did.
        certificate_ends: When its certificate ends, in seconds of the epoch; 0 if it uses none.
        canary: Whether it accepted the call of the canary; None if that was not made.
        canary_problem: Why it did not.
        token_ends: When the token of the canary ends, in seconds of the epoch; 0 if it does not end, or nobody knows.
    """

    problem: str = ""
    initialized: bool = False
    sealed: bool = False
    standby: bool = False
    certificate_ends: float = 0.0
    canary: bool | None = None
    canary_problem: str = ""
    token_ends: float = 0.0


class Queue(NamedTuple):
    """What waits in a destination of syslog-ng, and what it dropped since syslog-ng started, in lines."""

    queued: int
    dropped: int


class SyslogNg(NamedTuple):
    """The queues of Vaultwatch's destinations; `problem` says why they are not known."""

    problem: str = ""
    queues: dict[str, Queue] = {}  # noqa: RUF012  never changed


class Found(NamedTuple):
    """Everything about a machine: of its disks how much is used, None if that cannot be read; no syslog-ng is None."""

    vault: Vault
    syslog_ng: SyslogNg | None
    disks: dict[str, float | None]


def ask_vault(address: str, ca_file: Path | None, canary_token: str) -> Vault:
    """Ask for its health, and make the call of the canary if there is a token for it.

    Args:
        address: Its URL, as in VAULT_ADDR.
        ca_file: The certificates by which it is known; None for those of the system.
        canary_token: The token of the canary; "" to make no call.

    Raises:
        SettingError: The address is no URL of http or https, or the certificates cannot be read.
    """
    url = _address(address)
    try:
        context = ssl.create_default_context(cafile=ca_file) if url.scheme == "https" else None
    except OSError as error:
        raise SettingError(f"--ca-file: {ca_file}: {error.strerror or 'has no certificate'}") from error
    try:
        status, body, ends = _get(url, context, _HEALTH, "")
        if status != 200:
            return Vault(problem=f"it answered {status}")
        health = msgspec.json.decode(body, type=_Health)
    except _NO_ANSWER as error:
        return Vault(problem=_why(error))
    vault = Vault("", health.initialized, health.sealed, health.standby, ends)
    if not canary_token or health.sealed or not health.initialized:
        return vault
    try:
        status, body, _ = _get(url, context, _CANARY_CALL, canary_token)
        expires = msgspec.json.decode(body, type=_Lookup).data.expire_time if status == 200 else ""
    except _NO_ANSWER as error:
        return vault._replace(canary=False, canary_problem=f"Vault does not answer the canary: {_why(error)}")
    if status != 200:
        return vault._replace(
            canary=False, canary_problem=f"Vault refuses the call of the canary: it answered {status}"
        )
    moment = parse_time(expires) if expires else None
    return vault._replace(canary=True, token_ends=moment.timestamp() if moment else 0.0)


def ask_syslog_ng(expected: bool | None = None) -> SyslogNg | None:
    """Return what waits in its queues.

    Args:
        expected: Whether this machine uses it; None if it does where it is installed.

    Returns:
        None if the machine does not use it.
    """
    # Cron's PATH has no directory for administrators.
    program = shutil.which("syslog-ng-ctl", path=f"{os.environ.get('PATH', os.defpath)}:{_ADMINISTRATORS}")
    if expected is False or (program is None and expected is None):
        return None
    if program is None:
        return SyslogNg(problem="it is not installed")
    try:
        done = subprocess.run(
            [program, "stats"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return SyslogNg(problem=_why(error))
    if done.returncode:
        return SyslogNg(problem=one_line(done.stderr.decode("utf-8", "replace").strip(), 200) or "it does not run")
    return SyslogNg(queues=queues_of(done.stdout.decode("utf-8", "replace")))


def queues_of(statistics: str) -> dict[str, Queue]:
    """Return the queues of our destinations, by the destination's name.

    Args:
        statistics: The output of `syslog-ng-ctl stats`: `SourceName;SourceId;SourceInstance;State;Type;Number`.
    """
    found: dict[str, dict[str, int]] = {}
    for row in (line.split(";") for line in statistics.splitlines()):
        if len(row) >= 6 and row[1].startswith(_OURS) and row[-2] in {"queued", "dropped"} and row[-1].isdecimal():
            counts = found.setdefault(row[1].partition("#")[0], {})
            counts[row[-2]] = counts.get(row[-2], 0) + int(row[-1])
    return {name: Queue(counts.get("queued", 0), counts.get("dropped", 0)) for name, counts in sorted(found.items())}


def disks_of(paths: Iterable[Path]) -> dict[str, float | None]:
    """Return how much of each path's disk is used, from 0 to 1; None if it cannot be read, as after it was lost."""
    return {str(path): _used_ratio(path) for path in paths}


def problems_of(found: Found) -> Iterator[str]:
    """Yield what a person should do something about, a sentence each."""
    vault, syslog_ng = found.vault, found.syslog_ng
    if vault.problem:
        yield f"Vault does not answer: {vault.problem}"
    elif not vault.initialized:
        yield "Vault is not initialized"
    elif vault.sealed:
        yield "Vault is sealed"
    if vault.canary_problem:
        yield vault.canary_problem
    if syslog_ng and syslog_ng.problem:
        yield f"syslog-ng does not answer: {syslog_ng.problem}"
    for name, queue in (syslog_ng.queues if syslog_ng else {}).items():
        if queue.dropped:
            yield f"syslog-ng has dropped {counted(queue.dropped, 'line')} for {name}"
    yield from (f"{one_line(path)} cannot be read" for path, ratio in found.disks.items() if ratio is None)


def metrics_of(found: Found) -> bytes:
    """Return everything in Prometheus's text format."""
    return encode_metrics(_families(found), {"command": "probe"})


def _families(found: Found) -> Iterator[Family]:
    asked = "When the last probe ended."
    yield single("vaultwatch_probe_timestamp_seconds", "gauge", asked, time.time())
    yield from _of_vault(found.vault)
    if found.syslog_ng:
        up = "Whether syslog-ng answers."
        yield single("vaultwatch_syslog_ng_up", "gauge", up, int(not found.syslog_ng.problem))
        queues = found.syslog_ng.queues.items()
        queued: list[Sample] = [({"destination": name}, queue.queued) for name, queue in queues]
        yield Family("vaultwatch_syslog_ng_queued_lines", "gauge", "Lines that wait in this queue.", queued)
        dropped: list[Sample] = [({"destination": name}, queue.dropped) for name, queue in queues]
        lost = "Lines that this queue dropped because it was full."
        yield Family("vaultwatch_syslog_ng_dropped_lines_total", "counter", lost, dropped)
    readable: list[Sample] = [({"path": path}, int(ratio is not None)) for path, ratio in found.disks.items()]
    yield Family("vaultwatch_disk_readable", "gauge", "Whether this path can be read.", readable)
    used: list[Sample] = [({"path": path}, ratio) for path, ratio in found.disks.items() if ratio is not None]
    yield Family("vaultwatch_disk_used_ratio", "gauge", "How much of the disk of this path is used.", used)


def _of_vault(vault: Vault) -> Iterator[Family]:
    yield single("vaultwatch_vault_up", "gauge", "Whether Vault answers sys/health.", int(not vault.problem))
    if not vault.problem:
        yield single("vaultwatch_vault_initialized", "gauge", "Whether Vault is initialized.", int(vault.initialized))
        yield single("vaultwatch_vault_sealed", "gauge", "Whether Vault is sealed.", int(vault.sealed))
        yield single("vaultwatch_vault_standby", "gauge", "Whether this node is a standby.", int(vault.standby))
    if vault.certificate_ends:
        ends = "When the certificate of Vault ends."
        yield single("vaultwatch_vault_certificate_end_timestamp_seconds", "gauge", ends, vault.certificate_ends)
    if vault.canary is not None:
        accepted = "Whether Vault accepted the call of the canary."
        yield single("vaultwatch_canary_accepted", "gauge", accepted, int(vault.canary))
    if vault.token_ends:
        ends = "When the token of the canary ends."
        yield single("vaultwatch_canary_token_end_timestamp_seconds", "gauge", ends, vault.token_ends)


def lines_of(found: Found) -> Sequence[str]:
    """Return everything for people, a line each."""
    lines = []
    if not (vault := found.vault).problem:
        state = "sealed" if vault.sealed else "standby" if vault.standby else "active"
        lines.append(f"vault      {state if vault.initialized else 'not initialized'}")
    if found.syslog_ng and not found.syslog_ng.problem:
        for name, queue in found.syslog_ng.queues.items():
            lines.append(f"syslog-ng  {name}: {counted(queue.queued, 'line')} queued, {queue.dropped:,} dropped")
    used = ((path, ratio) for path, ratio in found.disks.items() if ratio is not None)
    lines += [f"disk       {one_line(path)}: {ratio:.0%} used" for path, ratio in used]
    return lines


def _address(address: str) -> SplitResult:
    try:
        url = urlsplit(address)
        is_usable = url.scheme in {"http", "https"} and bool(url.hostname) and (url.port or 1) > 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise SettingError(f"--address: not a URL of http or https: {quoted(one_line(address, 200))}")
    return url


def _get(url: SplitResult, context: ssl.SSLContext | None, path: str, token: str) -> tuple[int, bytes, float]:
    """Return status, body, and when the certificate ends, in seconds of the epoch."""
    connection: HTTPConnection
    if context:
        connection = HTTPSConnection(str(url.hostname), url.port or 443, timeout=_TIMEOUT_SECONDS, context=context)
    else:
        connection = HTTPConnection(str(url.hostname), url.port or 80, timeout=_TIMEOUT_SECONDS)
    with _deadline(_TIMEOUT_SECONDS), closing(connection):
        connection.connect()
        certificate = connection.sock.getpeercert() if isinstance(connection.sock, ssl.SSLSocket) else None
        ends = ssl.cert_time_to_seconds(str(certificate["notAfter"])) if certificate else 0.0
        connection.request(
            "GET",
            url.path.rstrip("/") + path,
            headers={"X-Vault-Request": "true", **({"X-Vault-Token": token} if token else {})},
        )
        answer = connection.getresponse()
        return answer.status, answer.read(_MAX_ANSWER_BYTES), ends


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """End what takes longer, however slowly it comes: that of a socket begins again with each byte.

    Raises:
        TimeoutError: It took longer.
    """

    def end(_signal: int, _frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _why(error: Exception) -> str:
    """Return a reason without a text that the other side wrote."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, subprocess.TimeoutExpired | TimeoutError):
        return f"no answer in {_TIMEOUT_SECONDS:.0f} seconds"
    if isinstance(error, OSError) and error.strerror:
        return one_line(error.strerror, 200)
    return "its answer cannot be read"


def _used_ratio(path: Path) -> float | None:
    """Return what df shows: blocks that are reserved for root are neither used nor available."""
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    used = found.f_blocks - found.f_bfree
    return used / (used + found.f_bavail) if used else 0.0
