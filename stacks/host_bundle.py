"""Builds the bundle of the hosts: one zip file with Vaultwatch, its packages and `assets/`.

It is stored without compression, because different versions of zlib compress differently: the user data of the hosts
contains its SHA-256, and another digest replaces them. The same sources give the same bytes on any machine.
"""

from __future__ import annotations

import hashlib
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stacks.bundling import ROOT, Target, compile_rules, fetch_wheels

PYTHON = "3.12"
"""The version of Python in Ubuntu 24.04."""
# The compiler of Sigma rules needs packages that hosts do not have: the pack is compiled here.
_NOT_BUNDLED = ("vaultwatch/rules/compiling",)
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class HostBundle:
    """A bundle.

    Attributes:
        file: The zip file.
        sha256: Its digest in hex.
    """

    file: Path
    sha256: str


def build_host_bundle(target: Target, file: Path, *, root: Path = ROOT) -> HostBundle:
    """Build the bundle of the hosts.

    Args:
        target: The Python and the processor of the hosts.
        file: The zip file, which is replaced.
        root: The folder of the sources.

    Returns:
        The bundle. `python3 FILE FOLDER` unpacks it.

    Raises:
        RuleError: A rule does not compile.
        BundleError: A package cannot be downloaded, or is not the pinned one.
    """
    wheels = fetch_wheels(target, root / "assets/python/requirements.txt", root / ".bundle/wheels")
    contents = dict(_own_files(root))
    contents |= {f"wheels/{wheel.name}": wheel.read_bytes() for wheel in wheels}
    contents["vaultwatch/rules/pack.json"] = compile_rules(root)
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(contents):
            archive.writestr(_entry(name), contents[name])
    return HostBundle(file, hashlib.sha256(file.read_bytes()).hexdigest())


def _own_files(root: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted((root / "vaultwatch").rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if not any(name.startswith((f"{out}/", f"{out}.")) for out in _NOT_BUNDLED):
            yield name, path.read_bytes()
    for path in sorted((root / "assets").rglob("*")):
        if path.is_file():
            yield path.relative_to(root).as_posix(), path.read_bytes()
    yield "__main__.py", (root / "vaultwatch/hosts/unpacking.py").read_bytes()
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    metadata = f"Metadata-Version: 2.1\nName: vaultwatch\nVersion: {version}\n"
    yield f"vaultwatch-{version}.dist-info/METADATA", metadata.encode()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system = 3  # Unix, whatever this machine is
    entry.external_attr = 0o100644 << 16
    return entry
