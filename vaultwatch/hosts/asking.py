"""Ask the function `sign` for a certificate, with a proof of the host's role."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from vaultwatch.authority.request import Answer, Request, digest_of, prove
from vaultwatch.aws.clients import classify
from vaultwatch.errors import CertificateError
from vaultwatch.printable import one_line

if TYPE_CHECKING:
    from botocore.session import Session
    from cryptography import x509

_MAX_ANSWER_BYTES = 64 * 1024


class Sign:
    """The function `sign`, as a host reaches it.

    Args:
        session: The session of botocore with the credentials of the host's role.
        function: The name or ARN of the function.
        region: Its region.
    """

    def __init__(self, session: Session, function: str, region: str) -> None:
        from botocore.config import Config

        self._session, self._function, self._region = session, function, region
        retries: Any = {"total_max_attempts": 3, "mode": "standard"}
        config = Config(connect_timeout=5, read_timeout=60, retries=retries)
        self._lambda: Any = session.create_client("lambda", region_name=region, config=config)
        self._sts_url = session.create_client("sts", region_name=region).meta.endpoint_url

    def ask(self, csr: x509.CertificateSigningRequest, certificate: str) -> Answer:
        """Send a request. Its signature is valid for minutes: each attempt has its own.

        Args:
            csr: The certificate signing request.
            certificate: The present certificate in PEM, to report it; "" to get a new one.

        Returns:
            The answer, which contains a certificate.

        Raises:
            CertificateError: The function refuses, has failed or cannot be reached; or there are no credentials.
        """
        from cryptography.hazmat.primitives.serialization import Encoding

        request = Request(csr.public_bytes(Encoding.PEM).decode(), self._proof(digest_of(csr)), certificate)
        try:
            answer = msgspec.json.decode(self._invoke(msgspec.json.encode(request)), type=Answer)
        except (msgspec.DecodeError, msgspec.ValidationError):
            raise CertificateError("the answer of the function sign has an unknown form") from None
        if answer.error or not answer.certificate:
            raise CertificateError(f"the authority refuses: {one_line(answer.error, 200)}")
        return answer

    def _proof(self, digest: str) -> Any:
        found = self._session.get_credentials()
        credentials = found.get_frozen_credentials() if found else None
        if credentials is None or not credentials.token:
            raise CertificateError("no credentials of a role were found: does the instance have an instance profile?")
        return prove(credentials, url=self._sts_url, region=self._region, digest=digest)

    def _invoke(self, payload: bytes) -> bytes:
        try:
            answer = self._lambda.invoke(FunctionName=self._function, Payload=payload)
            body: bytes = answer["Payload"].read(_MAX_ANSWER_BYTES)
        except Exception as error:  # noqa: BLE001  whatever boto3 raises, a person has to see
            raise CertificateError(f"the function sign cannot be reached: {classify(error).text}") from None
        if "FunctionError" in answer:
            raise CertificateError("the function sign has failed; its log says why")
        return body
