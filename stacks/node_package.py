"""Builds the package for nodes that exist already, as a .deb and as a tar file: `python -m stacks.node_package`."""

from __future__ import annotations

import argparse
import io
import tarfile
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from stacks.bundling import ROOT, Target
from stacks.host_bundle import PYTHON, build_host_bundle

_FOLDER = "usr/lib/vaultwatch"
_MAN_PAGE = "usr/share/man/man1/vaultwatch.1"
_OWN_FOLDERS = {"./etc/vaultwatch": 0o755, "./var/lib/vaultwatch/buffers": 0o700}
_MTIME = 315532800  # 1980-01-01, as in the bundle
_LAMBDA_NAMES = {"arm64": "arm64", "amd64": "x86_64"}
_CONTROL = """Package: vaultwatch-node
Version: {version}
Architecture: {architecture}
Maintainer: Vaultwatch
Depends: python3 (>= {python}), python3 (<< {next_python}), syslog-ng-core (>= 3.38)
Section: admin
Priority: optional
Description: Sends the logs of a Vault or OpenBao node to a Vaultwatch log server
 Both audit devices and the server log, over mutual TLS, without ever making
 Vault wait. Configure it as /usr/lib/vaultwatch/README says.
"""


@dataclass(frozen=True)
class NodePackage:
    """The files of a package.

    Attributes:
        deb: The package for Debian and Ubuntu.
        tar: The same files for other distributions.
    """

    deb: Path
    tar: Path


def build_node_package(python: str, architecture: str, into: Path, *, root: Path = ROOT) -> NodePackage:
    """Build the package. The same sources give the same bytes.

    Args:
        python: The version of Python on the nodes: "3.12".
        architecture: Their processor, by Debian's name: arm64 or amd64.
        into: The folder of the results.
        root: The folder of the sources.

    Raises:
        RuleError: A rule does not compile.
        BundleError: A package cannot be downloaded, or is not the pinned one.
    """
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    known = {"version": version, "architecture": architecture, "python": python, "next_python": _next(python)}
    files = _files(Target(python, _LAMBDA_NAMES[architecture]), known, root)
    into.mkdir(parents=True, exist_ok=True)
    files = {f"{_FOLDER}/{name}": content for name, content in files.items()}
    files[_MAN_PAGE] = (root / "docs/vaultwatch.1").read_bytes()
    data = _tar({f"./{name}": (content, 0o644) for name, content in files.items()}, _OWN_FOLDERS)
    tar = into / f"vaultwatch-node-{version}-{architecture}.tar"
    tar.write_bytes(data)
    scripts = {name: (_asset(root, name), 0o755) for name in ("postinst", "postrm", "prerm")}
    control = _tar(
        {"./control": (_CONTROL.format(**known).encode(), 0o644), **{f"./{n}": it for n, it in scripts.items()}}
    )
    deb = into / f"vaultwatch-node_{version}_{architecture}.deb"
    deb.write_bytes(_ar({"debian-binary": b"2.0\n", "control.tar": control, "data.tar": data}))
    return NodePackage(deb, tar)


def _next(python: str) -> str:
    major, _, minor = python.partition(".")
    return f"{major}.{int(minor) + 1}"


def _files(target: Target, known: Mapping[str, str], root: Path) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as scratch:
        bundle = build_host_bundle(target, Path(scratch, "bundle.zip"), root=root).file.read_bytes()
    readme = _asset(root, "README").decode()
    for name, value in known.items():
        readme = readme.replace("{{" + name + "}}", value)
    return {
        "README": readme.encode(),
        "bundle.zip": bundle,
        "host.json.example": _asset(root, "host.json.example"),
    }


def _asset(root: Path, name: str) -> bytes:
    return (root / "assets/node-package" / name).read_bytes()


def _tar(files: Mapping[str, tuple[bytes, int]], folders: Mapping[str, int] = MappingProxyType({})) -> bytes:
    """Return an uncompressed tar file, with the folders of the files and further ones, all owned by root."""
    made = io.BytesIO()
    above = {f"./{it}": 0o755 for name in [*files, *folders] for it in Path(name).parents if str(it) != "."}
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for folder, mode in sorted({**above, **folders}.items()):
            archive.addfile(_entry(folder, mode, tarfile.DIRTYPE))
        for name, (content, mode) in sorted(files.items()):
            entry = _entry(name, mode, tarfile.REGTYPE)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def _entry(name: str, mode: int, kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.type, entry.mtime, entry.uname, entry.gname = mode, kind, _MTIME, "root", "root"
    return entry


def _ar(members: Mapping[str, bytes]) -> bytes:
    """Return an archive of the kind that a .deb is (deb(5)). Members of odd length are padded."""
    made = b"!<arch>\n"
    for name, content in members.items():
        header = f"{name:<16}{_MTIME:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n"
        made += header.encode() + content + b"\n" * (len(content) % 2)
    return made


def main() -> int:
    """Build the package, and print its files; the exit status is 0."""
    parser = argparse.ArgumentParser(prog="python -m stacks.node_package", description=__doc__)
    parser.add_argument("--python", default=PYTHON, help="version of Python on the nodes (default: %(default)s)")
    parser.add_argument("--architecture", default="amd64", choices=sorted(_LAMBDA_NAMES), help="their processor")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="folder of the results")
    given = parser.parse_args()
    made = build_node_package(given.python, given.architecture, given.output)
    print(made.deb, made.tar, sep="\n")  # noqa: T201  what it is run for
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
