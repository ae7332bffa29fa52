"""A release of OpenBao for machines: the real server, except for the seal, which needs a KMS that decrypts.

Without a `bao` on PATH it is the stand-in, which writes what a real server writes.

The `bao` here may be built without plugins, and moto's KMS is reached under no name that the seal would use. So the
release has a program that puts a static seal in place of `seal "awskms"` in the configuration, and runs the real server
with it. Everything else of the configuration is the host's.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import testbed
from testbed import vault_api
from testbed.machines import stand_in
from vaultwatch.hosts.install.server import release_url

REAL = "/usr/local/lib/machine/bao"
"""Where a machine has the real program."""
_PROGRAM = f"""#!/bin/sh
set -eu
[ "$1" = server ] || exec {REAL} "$@"
umask 077
mkdir -p /tmp/openbao
head -c 32 /dev/zero | tr '\\0' '7' >/tmp/openbao/seal
{{
    sed '/^seal "awskms"/,/^}}/d' /etc/vault.d/vault.hcl
    printf 'seal "static" {{\\n  current_key_id = "1"\\n  current_key = "file:///tmp/openbao/seal"\\n}}\\n'
}} >/tmp/openbao/server.hcl
exec {REAL} server -config=/tmp/openbao/server.hcl
"""


class Release(NamedTuple):
    """A release.

    Attributes:
        url: Where a host expects it.
        content: The archive.
        sha256: Its digest in hex.
        program: The real program, which a machine has to have at `REAL`; None for the stand-in.
    """

    url: str
    content: bytes
    sha256: str
    program: Path | None


def openbao(version: str) -> Release:
    """Return a release that runs the `bao` on PATH, or the stand-in if there is none.

    Args:
        version: The version that the host expects.
    """
    found = shutil.which("bao")
    content = _packed(_PROGRAM.encode() if found else _stand_in())
    digest = hashlib.sha256(content).hexdigest()
    return Release(release_url("openbao", version), content, digest, Path(found) if found else None)


def _packed(program: bytes) -> bytes:
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        member = tarfile.TarInfo("bao")
        member.size, member.mode = len(program), 0o755
        archive.addfile(member, io.BytesIO(program))
    return packed.getvalue()


def _stand_in() -> bytes:
    """Return the stand-in as one executable file: Python runs a zip file that has a `__main__.py`."""
    files = {
        "__main__.py": Path(stand_in.__file__),
        "testbed/__init__.py": Path(testbed.__file__),
        "testbed/vault_api.py": Path(vault_api.__file__),
    }
    packed = io.BytesIO(b"#!/usr/bin/python3\n")
    packed.seek(0, io.SEEK_END)
    with zipfile.ZipFile(packed, "a") as archive:
        for name, path in files.items():
            archive.writestr(zipfile.ZipInfo(name), path.read_bytes())
    return packed.getvalue()
