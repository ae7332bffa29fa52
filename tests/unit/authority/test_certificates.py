"""The certificates are what OpenSSL accepts in its strict mode, for the names of the host and for no others."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.authority import DOMAIN, LOG_SERVER, VAULT_1, new_authority, new_key, now, verified
from vaultwatch.authority.certificates import HOST_LIFE, certify_authority, certify_host, check_issued, common_name
from vaultwatch.authority.names import Host
from vaultwatch.errors import CertificateError

AUTHORITY = new_authority()
_LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
_USAGE = st.lists(st.sampled_from(["server", "client"]), min_size=1, max_size=2, unique=True)


def certified(host: Host = VAULT_1, **more: Any) -> x509.Certificate:
    given = {
        "key": AUTHORITY.key,
        "authority": AUTHORITY.certificate,
        "public_key": new_key().public_key(),
        "now": now(),
    }
    return certify_host(**{**given, **more}, host=host)


def extension(certificate: x509.Certificate, kind: Any) -> Any:
    return certificate.extensions.get_extension_for_class(kind)


@given(label=_LABEL, labels=st.lists(_LABEL, min_size=1, max_size=10), usage=_USAGE)
@settings(max_examples=30, deadline=None)
def test_every_host_gets_a_certificate_that_openssl_verifies_strictly_for_each_of_its_names(
    tmp_path_factory: pytest.TempPathFactory, label: str, labels: list[str], usage: Any
) -> None:
    names = tuple(f"{one}.{DOMAIN}" for one in labels)
    made = certified(Host(label, names, tuple(usage)))

    purposes = {"server": "sslserver", "client": "sslclient"}
    folder = tmp_path_factory.mktemp("openssl")
    for name in names:
        options = ("-verify_hostname", name, "-purpose", purposes[usage[0]])
        assert verified(folder, made, AUTHORITY.certificate, *options) == "OK"
    assert common_name(made) == label
    assert extension(made, x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName) == list(names)


def test_a_certificate_is_for_its_purposes_only(tmp_path: Path) -> None:
    log_server, node = certified(LOG_SERVER), certified(VAULT_1)

    assert verified(tmp_path, log_server, AUTHORITY.certificate, "-purpose", "sslserver") == "OK"
    assert "unsuitable certificate purpose" in verified(
        tmp_path, log_server, AUTHORITY.certificate, "-purpose", "sslclient"
    )
    assert verified(tmp_path, node, AUTHORITY.certificate, "-purpose", "sslclient") == "OK"
    assert list(extension(log_server, x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_a_host_cannot_certify_others(tmp_path: Path) -> None:
    made = certified()

    assert not extension(made, x509.BasicConstraints).value.ca
    assert not extension(made, x509.KeyUsage).value.key_cert_sign
    own = extension(AUTHORITY.certificate, x509.BasicConstraints)
    assert (own.critical, own.value.ca, own.value.path_length) == (True, True, 0)


@pytest.mark.parametrize("name", ["vault.example.org", "example.org", f"x{DOMAIN}", DOMAIN.partition(".")[2]])
def test_outside_its_domain_the_authority_certifies_nothing_that_openssl_would_accept(
    tmp_path: Path, name: str
) -> None:
    made = certified(Host("vault-1", (name,), ("server",)))

    assert "permitted subtree violation" in verified(tmp_path, made, AUTHORITY.certificate)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_authority_certifies_no_addresses(tmp_path: Path, address: str) -> None:
    from ipaddress import ip_address

    from cryptography.hazmat.primitives import hashes

    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
    made = (
        x509.CertificateBuilder(AUTHORITY.certificate.subject, AUTHORITY.certificate.subject, new_key().public_key(), 1)
        .not_valid_before(now() - timedelta(hours=1))
        .not_valid_after(now() + timedelta(hours=1))
        .add_extension(names, critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(AUTHORITY.key.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier(b"x"), critical=False)
        .sign(AUTHORITY.key, hashes.SHA256())
    )

    assert "excluded subtree violation" in verified(tmp_path, made, AUTHORITY.certificate)


def test_a_certificate_of_another_authority_of_the_same_name_is_refused(tmp_path: Path) -> None:
    other = new_authority()
    made = certified(key=other.key, authority=other.certificate)

    assert other.certificate.subject == AUTHORITY.certificate.subject
    assert verified(tmp_path, made, AUTHORITY.certificate) != "OK"
    with pytest.raises(CertificateError, match="is not one of this authority"):
        check_issued(made, AUTHORITY.certificate)


def test_it_is_valid_for_thirty_days_and_from_five_minutes_ago() -> None:
    at = now()
    made = certified(now=at)

    assert made.not_valid_before_utc == at - timedelta(minutes=5)
    assert made.not_valid_after_utc == at + timedelta(days=30)
    assert (AUTHORITY.certificate.not_valid_after_utc - AUTHORITY.certificate.not_valid_before_utc).days == 3650


def test_it_never_outlives_the_authority() -> None:
    at = AUTHORITY.certificate.not_valid_after_utc - timedelta(days=2)

    assert certified(now=at).not_valid_after_utc == AUTHORITY.certificate.not_valid_after_utc < at + HOST_LIFE
    with pytest.raises(CertificateError, match="the certificate of the authority has ended"):
        certified(now=AUTHORITY.certificate.not_valid_after_utc)


def test_serial_numbers_are_random_and_at_least_128_bits_long() -> None:
    numbers = [certified().serial_number for _ in range(50)]

    assert len(set(numbers)) == 50
    assert max(numbers).bit_length() > 128
    assert max(numbers).bit_length() <= 159  # RFC 5280, 4.1.2.2: at most 20 octets, and positive


def test_a_signature_that_the_authoritys_certificate_cannot_verify_is_never_returned() -> None:
    with pytest.raises(CertificateError, match="is not one of this authority"):
        certified(key=new_key())


def test_the_authority_is_its_own_issuer_and_openssl_accepts_it_strictly(tmp_path: Path) -> None:
    made = certify_authority(new_key(), "Vaultwatch x", DOMAIN, now())

    assert verified(tmp_path, made, made) == "OK"
    constraints = extension(made, x509.NameConstraints)
    assert constraints.critical
    assert constraints.value.permitted_subtrees == [x509.DNSName(DOMAIN)]
    usage = extension(made, x509.KeyUsage)
    assert (usage.critical, usage.value.key_cert_sign, usage.value.digital_signature) == (True, True, False)
    assert isinstance(made.public_key(), ec.EllipticCurvePublicKey)
