"""A private key in KMS, with which `cryptography` signs certificates as with any other."""

from __future__ import annotations

from typing import Any, NoReturn

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from vaultwatch.authority.certificates import is_p256
from vaultwatch.errors import CertificateError


class KmsKey(ec.EllipticCurvePrivateKey):
    """A key of the type ECC_NIST_P256. It can sign, and nothing else: KMS never gives it away.

    Args:
        kms: The client of KMS.
        key_id: The key.

    Raises:
        CertificateError: The key is of another type.
    """

    def __init__(self, kms: Any, key_id: str) -> None:
        self._kms = kms
        self._key_id = key_id
        public_key = load_der_public_key(kms.get_public_key(KeyId=key_id)["PublicKey"])
        if not is_p256(public_key):
            raise CertificateError("the key of the authority is not of the type ECC_NIST_P256")
        self._public_key: ec.EllipticCurvePublicKey = public_key

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Return the signature over at most 4096 bytes, which is KMS's limit; KMS hashes them."""
        if not isinstance(signature_algorithm.algorithm, hashes.SHA256):
            raise ValueError("the authority signs with SHA-256 only")
        algorithm = {"MessageType": "RAW", "SigningAlgorithm": "ECDSA_SHA_256"}
        signature: bytes = self._kms.sign(KeyId=self._key_id, Message=bytes(data), **algorithm)["Signature"]
        return signature

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return the public key."""
        return self._public_key

    @property
    def curve(self) -> ec.EllipticCurve:
        """The curve, P-256."""
        return self._public_key.curve

    @property
    def key_size(self) -> int:
        """The size of the key in bits."""
        return self._public_key.key_size

    def exchange(self, *_: Any) -> NoReturn:
        """Not possible with a key that signs."""
        raise ValueError("this key only signs")

    def private_numbers(self) -> NoReturn:
        """Not possible: the key is in KMS."""
        raise ValueError("this key never leaves KMS")

    def private_bytes(self, *_: Any) -> NoReturn:
        """Not possible: the key is in KMS."""
        raise ValueError("this key never leaves KMS")

    def __copy__(self) -> KmsKey:
        return self

    def __deepcopy__(self, memo: dict[Any, Any]) -> KmsKey:
        return self
