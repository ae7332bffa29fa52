"""Builds the code of the functions as one folder: Vaultwatch, the compiled rules and the pinned packages.

All functions share one bundle, except for `sign`: the library for certificates doubles its 5 MB, and the others would
download and unpack it at every cold start.

Wheels are downloaded once, checked against the hashes in `lambdas/requirements.txt`, and kept in `.bundle/wheels`;
later builds need no network. The same sources give the same bytes on any machine and at any time.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from vaultwatch.cli.rule_fixtures import failures
from vaultwatch.errors import RuleError, VaultwatchError
from vaultwatch.rules.compiling import compile_pack

ROOT = Path(__file__).resolve().parent.parent
SHARED = "requirements.txt"
WITH_CERTIFICATES = "requirements-sign.txt"
# Not used by any function: the command line, and the compiler of Sigma rules (pySigma is not in the bundle).
NOT_BUNDLED = ("vaultwatch/cli", "vaultwatch/__main__.py", "vaultwatch/rules/compiling")
# 10 MB that CPython never loads, and files that only an installer reads, which name the platform.
_NOT_UNPACKED = re.compile(r"zstandard/_cffi|[^/]+\.data/|.*\.dist-info/(RECORD|WHEEL)$|.*/$")
_MTIME = 315532800  # 1980-01-01, the earliest time in a zip file


class BundleError(VaultwatchError):
    """The bundle cannot be built."""


@dataclass(frozen=True)
class Target:
    """What a bundle is built for.

    Attributes:
        python: The version of Python: "3.14".
        architecture: The processor, by Lambda's name: arm64 or x86_64.
    """

    python: str
    architecture: str

    @classmethod
    def running(cls) -> Target:
        """Return the target of this interpreter, to run the functions on this machine."""
        machine = platform.machine()
        return cls(f"{sys.version_info.major}.{sys.version_info.minor}", {"aarch64": "arm64"}.get(machine, machine))

    @property
    def name(self) -> str:
        """The name of the folder. It has no dot: the CDK would take it for a file with a suffix."""
        return f"python{self.python.replace('.', '')}-{self.architecture}"

    @property
    def wheel_platforms(self) -> tuple[str, ...]:
        """The platforms of wheels that Amazon Linux 2023 (glibc 2.34) can load: pip does not derive older ones."""
        machine = {"arm64": "aarch64"}.get(self.architecture, self.architecture)
        return f"manylinux2014_{machine}", f"manylinux_2_28_{machine}"


def build_bundle(target: Target, into: Path, *, packages: str = SHARED, root: Path = ROOT) -> Path:
    """Build a bundle for a target.

    Args:
        target: The Python and the processor that run it.
        into: The folder of the bundle; if it exists, it is replaced.
        packages: The file in `lambdas` that pins its packages.
        root: The folder of the sources.

    Returns:
        The folder.

    Raises:
        RuleError: A rule does not compile.
        BundleError: A package cannot be downloaded, or is not the pinned one.
    """
    pack = compile_rules(root)
    wheels = fetch_wheels(target, root / "lambdas" / packages, root / ".bundle/wheels")
    shutil.rmtree(into, ignore_errors=True)
    for wheel in wheels:
        _unpack(wheel, into)
    for source in _sources(root):
        _write(into / source.relative_to(root), source.read_bytes())
    _write(into / "vaultwatch/rules/pack.json", pack)
    _fix_times(into)
    return into


def digest(bundle: Path) -> str:
    """Return the SHA-256 over the names and contents of a bundle, or of another folder.

    The CDK caches its own fingerprints on disk by inode, time and size. The files of a new folder reuse inodes and all
    have the same time, so that it sometimes returns the fingerprint of another file.
    """
    found = hashlib.sha256()
    for path in sorted(path for path in bundle.rglob("*") if path.is_file()):
        content = path.read_bytes()
        found.update(f"{path.relative_to(bundle).as_posix()}\0{len(content)}\0".encode() + content)
    return found.hexdigest()


def compile_rules(root: Path = ROOT) -> bytes:
    """Test the rules of this repository, and return them as a compiled pack.

    Raises:
        RuleError: A rule does not compile, has no fixtures, or fails them.
    """
    return _compiled(root, digest(root / "rules"))


@lru_cache(maxsize=2)  # a synthesis builds three bundles, and the test takes seconds
def _compiled(root: Path, _sources: str) -> bytes:
    _, faults = failures([root / "rules"])
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise RuleError(f"{faults[0]}{more}; see `vaultwatch rules test`")
    return compile_pack([root / "rules"])


def fetch_wheels(target: Target, requirements: Path, cache: Path) -> list[Path]:
    """Return the wheels that a file of requirements pins, sorted by name.

    Args:
        target: The Python and the processor that run them.
        requirements: The file, with hashes.
        cache: The folder that keeps wheels; they are downloaded only if they are not in it.

    Raises:
        BundleError: A package cannot be downloaded, or is not the pinned one.
    """
    text = requirements.read_bytes()
    folder = cache / f"{target.name}-{hashlib.sha256(text).hexdigest()[:16]}"
    if not folder.is_dir():
        _download(target, requirements, folder)
    pinned = set(re.findall(r"--hash=sha256:([0-9a-f]{64})", text.decode()))
    wheels = sorted(folder.glob("*.whl"))
    for wheel in wheels:
        if hashlib.sha256(wheel.read_bytes()).hexdigest() not in pinned:
            raise BundleError(
                f"{wheel.name}: its hash is not in {requirements.name}; delete {folder.name} and try again"
            )
    return wheels


def _download(target: Target, requirements: Path, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        wheels = Path(scratch, "wheels")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--no-deps", "--require-hashes", "--only-binary=:all:", "--implementation", "cp"]
        command += ["--python-version", target.python, "--dest", str(wheels), "--requirement", str(requirements)]
        for name in target.wheel_platforms:
            command += ["--platform", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            wrong = next((line for line in lines if line.startswith("ERROR")), "pip failed")
            raise BundleError(f"packages for Python {target.python} on {target.architecture}: {wrong}")
        try:
            wheels.replace(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another run has downloaded them meanwhile
                raise


def _sources(root: Path) -> Iterator[Path]:
    """Yield Vaultwatch's own modules and the rules in Python."""
    for folder in ("lambdas", "vaultwatch", "rules"):
        for path in sorted((root / folder).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            if not any(name == out or name.startswith((f"{out}/", f"{out}.")) for out in NOT_BUNDLED):
                yield path


def _unpack(wheel: Path, into: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if not _NOT_UNPACKED.match(name):
                _write(into / name, archive.read(name))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _fix_times(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (_MTIME, _MTIME))
