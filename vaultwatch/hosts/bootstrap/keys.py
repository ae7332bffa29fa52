"""Where the recovery keys are kept: in Secrets Manager, and until it has them, in a file in memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

import msgspec

from vaultwatch.errors import BootstrapError

_COMPLETED = {"Key": "vaultwatch-bootstrap", "Value": "completed"}


class Keys(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What initialising a cluster returned, and how far the bootstrap is.

    Attributes:
        recovery_keys: The shares, in base64. `threshold` of them can create a root token.
        root_token: The initial root token, until it is revoked.
        configured: Whether everything that needs the root token is done.
        completed: Whether the root token is revoked: nothing is left to do.
    """

    recovery_keys: tuple[str, ...]
    threshold: int
    root_token: str = ""
    configured: bool = False
    completed: bool = False


class KeyStore(Protocol):
    """Keeps the keys of one cluster."""

    def read(self) -> Keys | None:
        """Return the keys, None if there are none yet.

        Raises:
            BootstrapError: They cannot be read.
        """
        ...

    def write(self, keys: Keys) -> None:
        """Store the keys in place of the present ones.

        Raises:
            BootstrapError: They may not have been stored.
        """
        ...


class Kept(KeyStore, Protocol):
    """A `KeyStore` that knows whether the bootstrap is completed: reading the keys for that would raise an alert."""

    def is_completed(self) -> bool:
        """Return whether the cluster is set up."""
        ...

    def complete(self) -> None:
        """Mark the cluster as set up."""
        ...


class Secret:
    """A secret in AWS Secrets Manager that exists, but may have no value yet.

    Args:
        client: boto3's client.
        arn: The secret's ARN or name.
        holds: What it holds, for errors.
    """

    def __init__(self, client: Any, arn: str, holds: str) -> None:
        self._client = client
        self._arn = arn
        self.holds = holds

    def read(self) -> str | None:
        """Return the value, None if there is none.

        Raises:
            BootstrapError: It cannot be read. No error quotes a value.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            text: str = self._client.get_secret_value(SecretId=self._arn)["SecretString"]
        except self._client.exceptions.ResourceNotFoundException:
            return None
        except (BotoCoreError, ClientError) as error:
            raise self._failure("read", error) from None
        return text

    def write(self, value: str) -> None:
        """Store a value in place of the present one; see `read`."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client.put_secret_value(SecretId=self._arn, SecretString=value)
        except (BotoCoreError, ClientError) as error:
            raise self._failure("store", error) from None

    def is_marked(self) -> bool:
        """Return whether `mark` was called, which does not read the value; see `read`."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            tags = self._client.describe_secret(SecretId=self._arn).get("Tags", [])
        except (BotoCoreError, ClientError) as error:
            raise self._failure("describe", error) from None
        return _COMPLETED in tags

    def mark(self) -> None:
        """Mark the secret by a tag; see `read`."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client.tag_resource(SecretId=self._arn, Tags=[_COMPLETED])
        except (BotoCoreError, ClientError) as error:
            raise self._failure("tag", error) from None

    def _failure(self, verb: str, error: Exception) -> BootstrapError:
        from vaultwatch.aws.clients import classify

        return BootstrapError(f"cannot {verb} {self.holds} in Secrets Manager: {classify(error).name}")


class SecretKeys:
    """`Kept` in a secret."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret

    def read(self) -> Keys | None:
        """See `KeyStore`."""
        text = self._secret.read()
        try:
            return None if text is None else msgspec.json.decode(text, type=Keys)
        except msgspec.DecodeError:  # its text would quote the value
            raise BootstrapError(f"the secret for {self._secret.holds} has a value of another form") from None

    def write(self, keys: Keys) -> None:
        """See `KeyStore`."""
        self._secret.write(msgspec.json.encode(keys).decode())

    def is_completed(self) -> bool:
        """See `Kept`."""
        return self._secret.is_marked()

    def complete(self) -> None:
        """See `Kept`."""
        self._secret.mark()


class LocalKeys:
    """A `KeyStore` in a file, so that a failure of Secrets Manager does not lose the keys.

    Args:
        path: The file, on a file system in memory, such as `/run/vaultwatch/recovery-keys`. Only its owner can read it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Keys | None:
        """See `KeyStore`."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Keys)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError:
            raise BootstrapError(f"{self._path} is no file of recovery keys") from None
        except OSError as error:
            raise BootstrapError(f"{self._path}: {error.strerror}") from error

    def write(self, keys: Keys) -> None:
        """See `KeyStore`. The file is complete or does not exist."""
        new = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            new.unlink(missing_ok=True)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(keys))
            new.replace(self._path)
        except OSError as error:
            raise BootstrapError(f"{self._path}: {error.strerror}") from error

    def remove(self) -> None:
        """Remove the file, if there is one."""
        self._path.unlink(missing_ok=True)
