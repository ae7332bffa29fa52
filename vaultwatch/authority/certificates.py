"""The certificates: the authority's own, and that of a host."""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta
from typing import TypeGuard

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from vaultwatch.authority.names import Host, Usage
from vaultwatch.errors import CertificateError

AUTHORITY_LIFE = timedelta(days=3650)
HOST_LIFE = timedelta(days=30)
CLOCK_SKEW = timedelta(minutes=5)
"""How long before its making a certificate is valid: the clock of another host may be slow."""

UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion)
"""What reading a hostile certificate or request raises."""

_PURPOSES: dict[Usage, ObjectIdentifier] = {
    "server": ExtendedKeyUsageOID.SERVER_AUTH,
    "client": ExtendedKeyUsageOID.CLIENT_AUTH,
}
_NO_ADDRESSES = [x509.IPAddress(ipaddress.ip_network(every)) for every in ("0.0.0.0/0", "::/0")]


def certify_authority(key: ec.EllipticCurvePrivateKey, name: str, domain: str, now: datetime) -> x509.Certificate:
    """Make the authority's own certificate, which is limited to names within a domain.

    Args:
        key: The authority's key.
        name: The name of the authority, at most 64 characters.
        domain: The domain of the deployment.
        now: The present time.
    """
    domain_only = x509.NameConstraints([x509.DNSName(domain)], _NO_ADDRESSES)
    return (
        _builder(_name(name), _name(name), key.public_key(), now, now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage("key_cert_sign"), critical=True)
        .add_extension(domain_only, critical=True)
        .sign(key, hashes.SHA256())
    )


def certify_host(
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    host: Host,
    public_key: ec.EllipticCurvePublicKey,
    now: datetime,
) -> x509.Certificate:
    """Make the certificate of a host, and verify its signature.

    Args:
        key: The authority's key.
        authority: The authority's certificate, before whose end this one ends.
        host: What is certified.
        public_key: The key of the host.
        now: The present time.

    Raises:
        CertificateError: The authority's certificate has ended, or what the key signed cannot be verified with it.
    """
    end = min(now + HOST_LIFE, authority.not_valid_after_utc)
    if end <= now:
        raise CertificateError("the certificate of the authority has ended")
    identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    made = (
        _builder(_name(host.name), authority.subject, public_key, now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage("digital_signature"), critical=True)
        .add_extension(x509.ExtendedKeyUsage([_PURPOSES[usage] for usage in host.usage]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in host.dns]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )
    check_issued(made, authority)
    return made


def check_issued(certificate: x509.Certificate, authority: x509.Certificate) -> None:
    """Check the issuer and the signature of a certificate.

    Raises:
        CertificateError: The authority has not issued it.
    """
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        raise CertificateError("the certificate is not one of this authority") from None


def is_p256(key: object) -> TypeGuard[ec.EllipticCurvePublicKey]:
    """Return whether a public key is one on the curve P-256, the only type that is used."""
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)


def common_name(certificate: x509.Certificate) -> str:
    """Return the only common name of a certificate, or "" if it has none or several."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else ""


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _key_usage(only: str) -> x509.KeyUsage:
    usages = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
        *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{usage: usage == only for usage in usages})
