"""A release of OpenBao for machines: the real server, except for the seal, which needs a KMS that decrypts.

The `bao` here may be built without plugins, and moto's KMS is reached under no name that the seal would use. So the
release has a program that puts a static seal in place of `seal "awskms"` in the configuration, and runs the real server
with it. Everything else of the configuration is the host's.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
from pathlib import Path
from typing import NamedTuple

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
    """A release: its contents, and the SHA-256 of them."""

    content: bytes
    sha256: str


def openbao() -> tuple[Path, Release] | None:
    """Return the real program and a release that runs it, None if there is no `bao` on PATH."""
    found = shutil.which("bao")
    if found is None:
        return None
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("bao")
        member.size, member.mode = len(_PROGRAM), 0o755
        archive.addfile(member, io.BytesIO(_PROGRAM.encode()))
    content = packed.getvalue()
    return Path(found), Release(content, hashlib.sha256(content).hexdigest())
