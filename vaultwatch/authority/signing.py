"""Answer a request of a host: certify its key, or check the certificate that it reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from vaultwatch.authority.caller import Caller
from vaultwatch.authority.certificates import UNREADABLE, certify_host, check_issued, common_name, is_p256
from vaultwatch.authority.names import Host
from vaultwatch.authority.request import Answer, Identity, Request, digest_of
from vaultwatch.errors import CertificateError, RequestRefused

IdentityCheck = Callable[[Identity, str], Caller]
"""Returns who signed an identity for a digest, or raises `RequestRefused`."""


@dataclass(frozen=True)
class Authority:
    """The authority: its key, its certificate, and the hosts by the name of their role."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    hosts: dict[str, Host]

    def answer(self, request: Request, identify: IdentityCheck, now: datetime) -> tuple[Host, x509.Certificate]:
        """Return the host that sent a request, and its certificate: a new one, or the one that it reports.

        Args:
            request: The request.
            identify: Checks who sent it.
            now: The present time.

        Raises:
            RequestRefused: The request is malformed, or its sender is no host of this deployment.
            CertificateError: The authority cannot sign.
        """
        csr, key = read_csr(request.csr)
        host = self._host(identify(request.identity, digest_of(csr)))
        if request.certificate:
            return host, self._reported(request.certificate, host, key)
        return host, certify_host(self.key, self.certificate, host, key, now)

    def _host(self, caller: Caller) -> Host:
        host = self.hosts.get(caller.role)
        if host is None:
            raise RequestRefused("the caller's role is not that of a host of this deployment")
        if host.instance and not caller.is_instance:
            raise RequestRefused("the caller has the role of a host, but is not its instance")
        return host

    def _reported(self, pem: str, host: Host, key: ec.EllipticCurvePublicKey) -> x509.Certificate:
        try:
            certificate = x509.load_pem_x509_certificate(pem.encode())
            check_issued(certificate, self.certificate)
            reported = certificate.public_key() == key and common_name(certificate) == host.name
        except (*UNREADABLE, CertificateError):
            reported = False
        if not reported:
            raise RequestRefused("the reported certificate is not one of this authority for this host and key")
        return certificate

    def answer_with(self, certificate: x509.Certificate) -> Answer:
        """Return the answer that contains a certificate."""
        pem, own = (one.public_bytes(Encoding.PEM).decode() for one in (certificate, self.certificate))
        return Answer(certificate=pem, authority=own, ends=certificate.not_valid_after_utc)


def read_csr(pem: str) -> tuple[x509.CertificateSigningRequest, ec.EllipticCurvePublicKey]:
    """Return a certificate signing request and its key. The names in it are not read.

    Raises:
        RequestRefused: It cannot be parsed, its signature is wrong, or its key is not on the curve P-256.
    """
    try:
        csr = x509.load_pem_x509_csr(pem.encode())
        key = csr.public_key()
        valid = csr.is_signature_valid
    except UNREADABLE:
        raise RequestRefused("the certificate signing request cannot be parsed") from None
    if not valid:
        raise RequestRefused("the signature of the certificate signing request is wrong")
    if not is_p256(key):
        raise RequestRefused("the key is not on the curve P-256, the only type that is accepted")
    return csr, key
