"""The authority's certificate in an SSM parameter: made once, whoever asks first, and never replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from vaultwatch.authority.certificates import UNREADABLE, check_issued
from vaultwatch.errors import CertificateError


def stored_certificate(
    ssm: Any, parameter: str, key: ec.EllipticCurvePublicKey, make: Callable[[], x509.Certificate]
) -> x509.Certificate:
    """Return the certificate in a parameter; if there is none yet, make it.

    Of two callers at the same time, one stores its certificate, and both return that one.

    Args:
        ssm: The client of SSM.
        parameter: The name of the parameter.
        key: The key of the authority.
        make: Makes the certificate.

    Raises:
        CertificateError: The parameter contains something else than a certificate of the authority for its own key.
    """
    text = _read(ssm, parameter)
    if not text:
        _store(ssm, parameter, make())
        text = _read(ssm, parameter)
    return _checked(text, key)


def _read(ssm: Any, parameter: str) -> str:
    try:
        return str(ssm.get_parameter(Name=parameter)["Parameter"]["Value"])
    except ssm.exceptions.ParameterNotFound:
        return ""


def _store(ssm: Any, parameter: str, certificate: x509.Certificate) -> None:
    text = certificate.public_bytes(Encoding.PEM).decode()
    about = "The certificate of Vaultwatch's authority; if deleted, a new one is made for the same key"
    try:
        ssm.put_parameter(Name=parameter, Value=text, Type="String", Description=about, Overwrite=False)
    except ssm.exceptions.ParameterAlreadyExists:
        return


def _checked(text: str, key: ec.EllipticCurvePublicKey) -> x509.Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(text.encode())
    except UNREADABLE:
        raise CertificateError("the parameter of the authority does not contain a certificate") from None
    if certificate.public_key() != key:
        raise CertificateError("the parameter of the authority contains a certificate for another key")
    check_issued(certificate, certificate)
    return certificate
