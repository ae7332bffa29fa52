"""The program of Vault or OpenBao: the pinned release, and no other."""

from __future__ import annotations

import hashlib
import platform
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from vaultwatch.errors import InstallError
from vaultwatch.hosts.install.host import Host, Step

_INSTALLED = "/usr/local/lib/vaultwatch/server.sha256"
_LARGEST_BYTES = 1 << 30
_CHUNK_BYTES = 1 << 20
_ARCHITECTURES = {"aarch64": "arm64", "x86_64": "amd64"}
_RELEASES = {
    "vault": "https://releases.hashicorp.com/vault/{version}/vault_{version}_linux_{architecture}.zip",
    "openbao": "https://github.com/openbao/openbao/releases/download/v{version}/"
    "openbao_{version}_linux_{architecture}.tar.gz",
}
_PROGRAMS = {"vault": "vault", "openbao": "bao"}


def release_url(product: str, version: str) -> str:
    """Return where the release of a product is, for this processor."""
    return _RELEASES[product].format(version=version, architecture=_ARCHITECTURES[platform.machine()])


def _is_installed(host: Host) -> bool:
    if host.values["role"] != "node":
        return True
    return host.read(_INSTALLED) == host.values["server_sha256"] and host.path(_program(host)).is_file()


def _install(host: Host) -> None:
    values = host.values
    url = release_url(values["product"], values["server_version"])
    with tempfile.TemporaryFile() as archive:
        _download(host, url, archive)
        _place(archive, host.path(_program(host)), url)
    host.write(_INSTALLED, values["server_sha256"])


def _program(host: Host) -> str:
    return f"/usr/local/bin/{_PROGRAMS[host.values['product']]}"


def _download(host: Host, url: str, into: IO[bytes]) -> None:
    """Download a release; nothing of it is used before its digest is the expected one."""
    found, size = hashlib.sha256(), 0
    try:
        with host.download(url) as answer:
            while chunk := answer.read(_CHUNK_BYTES):
                size += len(chunk)
                if size > _LARGEST_BYTES:
                    raise InstallError(f"{url} is larger than {_LARGEST_BYTES} bytes")
                found.update(chunk)
                into.write(chunk)
    except OSError as error:
        raise InstallError(f"{url} cannot be downloaded: {error}") from error
    if found.hexdigest() != host.values["server_sha256"]:
        raise InstallError(f"{url} has the SHA-256 {found.hexdigest()}, and not the one in the settings")


def _place(archive: IO[bytes], program: Path, url: str) -> None:
    program.parent.mkdir(parents=True, exist_ok=True)
    new = program.with_name(f".{program.name}.new")
    archive.seek(0)
    with _member(archive, program.name, url) as source, new.open("wb") as target:
        shutil.copyfileobj(source, target)
    new.chmod(0o755)
    new.replace(program)


@contextmanager
def _member(archive: IO[bytes], name: str, url: str) -> Iterator[IO[bytes]]:
    """Open the program in a release."""
    if url.endswith(".zip"):
        with zipfile.ZipFile(archive) as release, release.open(name) as source:
            yield source
        return
    with tarfile.open(fileobj=archive) as files:
        found = files.extractfile(name)
        if found is None:
            raise InstallError(f"{url}: {name} is no file")
        yield found


SERVER = Step("server", _is_installed, _install)
