"""Keep the certificate of a host: ask for it, renew it before it ends, and let the services load it.

Each run begins from what is on the disk, so that the next one completes what a crash interrupted. The private key is
made here and never leaves the host.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from vaultwatch.authority.certificates import UNREADABLE, check_issued, common_name
from vaultwatch.authority.request import Answer
from vaultwatch.errors import CertificateError
from vaultwatch.hosts.key_pair import KeyPair, install_pair, read_pair, remove_leftovers

RENEW_BEFORE = timedelta(days=10)
_LOADED = "loaded"

Ask = Callable[[x509.CertificateSigningRequest, str], Answer]
"""Sends a request to the authority, with the present certificate in PEM to report it, or "" to get a new one."""


class Place(NamedTuple):
    """A folder with the pair, and the group that may read its key; "" for none."""

    folder: Path
    group: str = ""


@dataclass(frozen=True)
class HostCertificate:
    """The certificate of a host.

    Attributes:
        name: The host's name, which has to be the common name.
        places: Where the pair is installed; the first one is decisive, the others are copies.
        ask: Asks the authority.
        reload: Lets the services load the pair.
    """

    name: str
    places: Sequence[Place]
    ask: Ask
    reload: Callable[[], None]

    def run(self, now: datetime) -> str:
        """Renew the certificate if it is time, else report it; complete what an earlier run did not.

        Args:
            now: The present time.

        Returns:
            What was done, as one sentence.

        Raises:
            CertificateError: The authority did not issue a certificate, or one that cannot be used.
            OSError: The pair cannot be written.
        """
        first = self.places[0]
        first.folder.mkdir(parents=True, exist_ok=True)
        with _only_one(first.folder):
            pair = read_pair(first.folder)
            fault = _fault(pair, self.name)
            if pair is not None and not fault:
                self._complete(pair)
                if now < _end(pair) - RENEW_BEFORE:
                    self._report(pair)
                    return f"{self.name}: the certificate stays in use{_until(pair)}"
            pair = self._new_pair(now)
            install_pair(first.folder, pair, first.group)
            self._complete(pair)
            return f"{self.name}: a new certificate, because the former one {fault or 'was about to end'}{_until(pair)}"

    def _new_pair(self, now: datetime) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        answer = self.ask(_request(key, self.name), "")
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        pair = KeyPair(secret, answer.certificate.encode(), answer.authority.encode())
        fault = _fault(pair, self.name)
        if fault or _end(pair) <= now:
            raise CertificateError(f"the certificate that the authority issued {fault or 'has ended'}")
        return pair

    def _complete(self, pair: KeyPair) -> None:
        """Copy the pair to the other places, let the services load it, and remove what is no longer used."""
        for place in self.places[1:]:
            if read_pair(place.folder) != pair:
                install_pair(place.folder, pair, place.group)
        loaded, digest = self.places[0].folder / _LOADED, sha256(pair.certificate).hexdigest()
        if not loaded.exists() or loaded.read_text() != digest:
            self.reload()
            loaded.write_text(digest)
        for place in self.places:
            remove_leftovers(place.folder)

    def _report(self, pair: KeyPair) -> None:
        key = load_pem_private_key(pair.key, None)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            self.ask(_request(key, self.name), pair.certificate.decode())


def _fault(pair: KeyPair | None, name: str) -> str:
    """Return why a pair cannot be used, whatever the time is; "" if it can."""
    if pair is None:
        return "does not exist"
    try:
        certificate, authority = map(x509.load_pem_x509_certificate, (pair.certificate, pair.authority))
        fits = load_pem_private_key(pair.key, None).public_key() == certificate.public_key()
        check_issued(certificate, authority)
    except (*UNREADABLE, CertificateError):
        return "cannot be read, or is not one of the authority"
    return "" if fits and common_name(certificate) == name else "is for another key or another name"


def _end(pair: KeyPair) -> datetime:
    certificates = map(x509.load_pem_x509_certificate, (pair.certificate, pair.authority))
    return min(certificate.not_valid_after_utc for certificate in certificates)


def _request(key: ec.EllipticCurvePrivateKey, name: str) -> x509.CertificateSigningRequest:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())


def _until(pair: KeyPair) -> str:
    return f"; it is valid until {_end(pair):%Y-%m-%d %H:%M} UTC"


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Let one run at a time do this; the kernel ends the lock with the process."""
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
