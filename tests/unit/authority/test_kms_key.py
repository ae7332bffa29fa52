"""The authority's key is in KMS: it signs certificates, and nothing gets it out of there."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.authority import DOMAIN, VAULT_1, new_authority, new_key, now, pem, verified
from tests.support.dynamodb import local_aws, make_client
from vaultwatch.authority.certificates import certify_authority, certify_host
from vaultwatch.authority.kms_key import KmsKey
from vaultwatch.authority.stored import stored_certificate
from vaultwatch.errors import CertificateError

PARAMETER = "/vaultwatch/authority"


@pytest.fixture(autouse=True)
def aws() -> Iterator[None]:
    with local_aws():
        yield


def kms_key(spec: str = "ECC_NIST_P256") -> KmsKey:
    made = make_client("kms").create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")
    return KmsKey(make_client("kms"), made["KeyMetadata"]["Arn"])


def stored(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    def make() -> x509.Certificate:
        return certify_authority(key, "Vaultwatch", DOMAIN, now())

    return stored_certificate(make_client("ssm"), PARAMETER, key.public_key(), make)


def test_openssl_verifies_what_kms_signed(tmp_path: Path) -> None:
    key = kms_key()
    authority = certify_authority(key, "Vaultwatch", DOMAIN, now())
    made = certify_host(key, authority, VAULT_1, new_key().public_key(), now())

    assert verified(tmp_path, authority, authority) == "OK"
    assert verified(tmp_path, made, authority) == "OK"


def test_the_key_signs_and_does_nothing_else() -> None:
    key = kms_key()
    actions: list[Any] = [
        key.private_numbers,
        lambda: key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        lambda: key.exchange(ec.ECDH(), new_key().public_key()),
        lambda: key.sign(b"x", ec.ECDSA(hashes.SHA384())),
    ]
    for action in actions:
        with pytest.raises(ValueError, match=r"only|never"):
            action()


def test_a_key_of_another_type_is_refused() -> None:
    with pytest.raises(CertificateError, match="not of the type ECC_NIST_P256"):
        kms_key("RSA_2048")


def test_the_certificate_of_the_authority_is_made_once() -> None:
    key = new_key()

    first = stored(key)
    assert stored(key) == first
    assert make_client("ssm").get_parameter(Name=PARAMETER)["Parameter"]["Version"] == 1


def test_of_two_callers_at_the_same_time_both_get_the_one_certificate_that_is_stored() -> None:
    key, both = new_key(), Barrier(2)

    def make() -> x509.Certificate:
        both.wait(timeout=60)  # neither has found a certificate
        return certify_authority(key, "Vaultwatch", DOMAIN, now())

    def ask(_: int) -> x509.Certificate:
        return stored_certificate(make_client("ssm"), PARAMETER, key.public_key(), make)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(ask, range(2))
    assert first == second
    assert make_client("ssm").get_parameter(Name=PARAMETER)["Parameter"]["Version"] == 1


def test_a_certificate_for_another_key_which_somebody_put_there_is_refused() -> None:
    make_client("ssm").put_parameter(Name=PARAMETER, Value=pem(new_authority().certificate), Type="String")

    with pytest.raises(CertificateError, match="a certificate for another key"):
        stored(new_key())


def test_a_certificate_of_another_issuer_for_the_authoritys_key_is_refused() -> None:
    key, other = new_key(), new_authority()
    foreign = certify_host(other.key, other.certificate, VAULT_1, key.public_key(), now())
    make_client("ssm").put_parameter(Name=PARAMETER, Value=pem(foreign), Type="String")

    with pytest.raises(CertificateError, match="is not one of this authority"):
        stored(key)


def test_a_parameter_without_a_certificate_is_refused() -> None:
    make_client("ssm").put_parameter(Name=PARAMETER, Value="none", Type="String")

    with pytest.raises(CertificateError, match="does not contain a certificate"):
        stored(new_key())
