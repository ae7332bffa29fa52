"""A private authority on this machine, which signs the certificates of nodes and log servers as a deployment's does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Usage = Literal["server", "client"]
_PURPOSES = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}
_BEFORE = timedelta(hours=1)
# Python 3.13 accepts no authority without it.
_SIGNS = x509.KeyUsage(
    key_cert_sign=True, crl_sign=True, digital_signature=False, content_commitment=False, key_encipherment=False,
    data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
)  # fmt: skip
A_DAY = timedelta(days=1)
EXPIRED = timedelta(seconds=-1)


class Authority:
    """An authority that exists while this object does; its key is in no file."""

    def __init__(self, name: str = "Test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self._certificate = (
            self._builder(self._name, self._key.public_key(), A_DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_SIGNS, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        """The authority's certificate."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        name: str,
        dns: Sequence[str] = (),
        *,
        usage: Sequence[Usage] = ("server", "client"),
        lasts: timedelta = A_DAY,
    ) -> tuple[bytes, bytes]:
        """Issue a certificate.

        Args:
            name: Its common name.
            dns: The DNS names for which it is valid as a server's.
            usage: What it is for.
            lasts: Until when it is valid from now on.

        Returns:
            The certificate and its private key, in PEM.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            self._builder(_name(name), key.public_key(), lasts)
            .add_extension(x509.ExtendedKeyUsage([_PURPOSES[one] for one in usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if dns:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(map(x509.DNSName, dns))), critical=False)
        signed = builder.sign(self._key, hashes.SHA256())
        form = serialization.PrivateFormat.PKCS8
        secret = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        return signed.public_bytes(serialization.Encoding.PEM), secret

    def install(self, folder: Path, pair: tuple[bytes, bytes]) -> None:
        """Write a certificate, its key and the authority's certificate, under the names that hosts use."""
        folder.mkdir(mode=0o700, exist_ok=True)
        for name, content in zip(("host.pem", "host.key", "authority.pem"), (*pair, self.pem), strict=True):
            (folder / name).write_bytes(content)
            (folder / name).chmod(0o600)

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, lasts: timedelta) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BEFORE)
            .not_valid_after(now + lasts)
        )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
