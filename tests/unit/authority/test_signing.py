"""A request gets a certificate for the names of its role, whatever it asks for, or one sentence that says why not."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from tests.support.authority import VAULT_1, new_authority, new_csr, new_key, now, pem, verified
from vaultwatch.authority.caller import Caller
from vaultwatch.authority.certificates import certify_host, common_name
from vaultwatch.authority.names import Host
from vaultwatch.authority.request import Identity, Request, digest_of
from vaultwatch.authority.signing import Authority, read_csr
from vaultwatch.errors import RequestRefused

AUTHORITY = new_authority()
KEY = new_key()
IDENTITY = Identity("", "20261128T000000Z", "token")


def answered(
    csr: str, certificate: str = "", role: str = "vaultwatch-vault-1", *, is_instance: bool = True
) -> x509.Certificate:
    return AUTHORITY.answer(Request(csr, IDENTITY, certificate), lambda *_: Caller(role, is_instance), now())[1]


def test_the_names_come_from_the_role_and_those_of_the_request_are_ignored(tmp_path: Path) -> None:
    made = answered(pem(new_csr(KEY, "vault-2")))

    assert verified(tmp_path, made, AUTHORITY.certificate) == "OK"
    assert common_name(made) == "vault-1"
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert tuple(names.get_values_for_type(x509.DNSName)) == VAULT_1.dns
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert made.public_key() == KEY.public_key()


def test_the_proof_is_checked_for_the_very_request_that_is_certified() -> None:
    csr, asked = new_csr(KEY), list[str]()

    def identify(_: Identity, digest: str) -> Caller:
        asked.append(digest)
        return Caller("vaultwatch-vault-1", is_instance=True)

    AUTHORITY.answer(Request(f"text before\n{pem(csr)}", IDENTITY), identify, now())
    assert asked == [digest_of(csr)]


def test_a_role_that_is_no_host_of_this_deployment_is_refused() -> None:
    with pytest.raises(RequestRefused, match="is not that of a host"):
        answered(pem(new_csr(KEY)), role="vaultwatch-vault-9")


def test_who_assumed_the_role_of_an_instance_in_another_way_is_refused() -> None:
    with pytest.raises(RequestRefused, match="is not its instance"):
        answered(pem(new_csr(KEY)), is_instance=False)
    assert common_name(answered(pem(new_csr(KEY)), role="anywhere", is_instance=False)) == "vault-7"


@pytest.mark.parametrize("size", [2048, 3072])
def test_a_key_of_another_type_is_refused(size: int) -> None:
    with pytest.raises(RequestRefused, match="not on the curve P-256"):
        read_csr(pem(new_csr(rsa.generate_private_key(65537, size))))


def test_a_key_on_another_curve_is_refused() -> None:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    for csr in (
        builder.sign(ec.generate_private_key(ec.SECP384R1()), hashes.SHA256()),
        builder.sign(ec.generate_private_key(ec.SECP256K1()), hashes.SHA256()),
        builder.sign(ed25519.Ed25519PrivateKey.generate(), None),
    ):
        with pytest.raises(RequestRefused, match="not on the curve P-256"):
            read_csr(pem(csr))


def test_a_request_for_somebody_elses_key_is_refused() -> None:
    """Its signature has to be that of the key itself: whoever sends it has the key."""
    der = new_csr(KEY).public_bytes(Encoding.DER)
    other = new_key().public_key().public_numbers()
    own = KEY.public_key().public_numbers()
    point, mine = (b"".join(part.to_bytes(32) for part in (one.x, one.y)) for one in (other, own))
    forged = x509.load_der_x509_csr(der.replace(mine, point))

    with pytest.raises(RequestRefused, match="signature of the certificate signing request is wrong"):
        read_csr(pem(forged))


@given(st.text(max_size=200) | st.just(pem(AUTHORITY.certificate)))
def test_what_is_no_request_is_refused(text: str) -> None:
    with pytest.raises(RequestRefused, match="cannot be parsed"):
        read_csr(text)


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_request_with_a_changed_byte_is_refused_or_is_for_the_same_key(place: int, value: int) -> None:
    der = bytearray(new_csr(KEY).public_bytes(Encoding.DER))
    der[place % len(der)] = value
    import base64

    text = f"-----BEGIN CERTIFICATE REQUEST-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE REQUEST-----\n"
    try:
        _, key = read_csr(text)
    except RequestRefused:
        return
    assert key == KEY.public_key()


def issued(authority: Authority = AUTHORITY, host: Host = VAULT_1) -> x509.Certificate:
    return certify_host(authority.key, authority.certificate, host, KEY.public_key(), now() - timedelta(days=22))


def test_a_host_reports_the_certificate_that_it_uses() -> None:
    used = issued()

    assert answered(pem(new_csr(KEY)), pem(used)) == used


def test_a_host_can_report_only_its_own_certificate_of_this_authority() -> None:
    wrong = {
        "of another authority": (pem(new_csr(KEY)), pem(issued(new_authority()))),
        "of another host": (pem(new_csr(KEY)), pem(issued(host=Host("vault-2", VAULT_1.dns, VAULT_1.usage)))),
        "for another key": (pem(new_csr(new_key())), pem(issued())),
        "the authority's own": (pem(new_csr(KEY)), pem(AUTHORITY.certificate)),
        "no certificate": (pem(new_csr(KEY)), "x"),
    }
    for csr, certificate in wrong.values():
        with pytest.raises(RequestRefused, match="the reported certificate is not one"):
            answered(csr, certificate)
