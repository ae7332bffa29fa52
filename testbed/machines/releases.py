"""A release of OpenBao for machines: the real server, except for the seal, which needs a KMS that decrypts.

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
from pathlib import Path
from typing import NamedTuple

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
        program: The real program, which a machine has to have at `REAL`.
    """

    url: str
    content: bytes
    sha256: str
    program: Path


def openbao(version: str) -> Release | None:
    """Return a release that runs the `bao` on PATH, None if there is none.

    Args:
        version: The version that the host expects.
    """
    found = shutil.which("bao")
    if found is None:
        return None
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        member = tarfile.TarInfo("bao")
        member.size, member.mode = len(_PROGRAM), 0o755
        archive.addfile(member, io.BytesIO(_PROGRAM.encode()))
    content = packed.getvalue()
    return Release(release_url("openbao", version), content, hashlib.sha256(content).hexdigest(), Path(found))
