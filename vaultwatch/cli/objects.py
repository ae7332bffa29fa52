"""The logs below an address on S3."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from vaultwatch.audience import S3
from vaultwatch.errors import BOTO3_MISSING, SettingError, VaultwatchError
from vaultwatch.inputs.decompression import CHUNK_BYTES
from vaultwatch.inputs.errors import Unreadable
from vaultwatch.inputs.logs import Opening
from vaultwatch.inputs.order import by_rotation

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MAX_OBJECTS = 100_000
Keys = Callable[["S3Client", str, str], Sequence[str]]
"""Returns keys, given the client, the bucket, and what follows it in the address."""


class S3Object(NamedTuple):
    """An object on S3: its address, and what opens it."""

    name: str
    opening: Opening


def objects_at(place: str) -> list[S3Object]:
    """Return the objects on S3 whose keys begin with a prefix, or match a pattern; rotated ones from the oldest.

    Args:
        place: s3://BUCKET, s3://BUCKET/PREFIX, or s3://BUCKET/PATTERN, whose `*` also matches slashes.

    Raises:
        SettingError: There is no bucket, or it cannot be listed.
    """
    found = listed(place, _keys)
    return [S3Object(f"{S3}{bucket}/{key}", partial(_opened, s3, bucket, key)) for s3, bucket, key in found]


def listed(place: str, keys: Keys) -> list[tuple[Any, str, str]]:
    """Return a client, the bucket and the key for each key.

    Args:
        place: s3://BUCKET, and what says which keys.
        keys: See `Keys`.

    Raises:
        SettingError: There is no bucket, or it cannot be listed.
    """
    bucket, _, prefix = place.removeprefix(S3).partition("/")
    if not bucket:
        raise SettingError(f"{place}: names no bucket")
    try:
        from vaultwatch.aws.clients import classify, make_client

        s3: Any = make_client("s3")
    except ImportError as error:
        raise SettingError(f"{place}: {BOTO3_MISSING}") from error
    try:
        return [(s3, bucket, key) for key in keys(s3, bucket, prefix)]
    except VaultwatchError:
        raise
    except Exception as error:
        raise SettingError(f"{place}: {classify(error).text}") from error


def _keys(s3: S3Client, bucket: str, pattern: str) -> list[str]:
    prefix = re.split(r"[*?[]", pattern, maxsplit=1)[0]
    found = list[str]()
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        keys = (one["Key"] for one in page.get("Contents", []) if not one["Key"].endswith("/"))
        found += (key for key in keys if prefix == pattern or fnmatchcase(key, pattern))
        if len(found) > _MAX_OBJECTS:
            raise SettingError(f"{S3}{bucket}/{pattern}: more than {_MAX_OBJECTS:,} objects: name a longer prefix")
    return sorted(found, key=by_rotation)


@contextmanager
def _opened(s3: S3Client, bucket: str, key: str) -> Iterator[tuple[Any, int]]:
    with _reading():
        found = s3.get_object(Bucket=bucket, Key=key)
    with closing(found["Body"]) as body:
        yield io.BufferedReader(_Body(body), CHUNK_BYTES), found["ContentLength"]


@contextmanager
def _reading() -> Iterator[None]:
    from vaultwatch.aws.clients import classify

    try:
        yield
    except Exception as error:
        raise Unreadable(classify(error).text) from error


class _Body(io.RawIOBase):
    """The bytes of an object on S3."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase`."""
        with _reading():
            piece: bytes = self._body.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)
