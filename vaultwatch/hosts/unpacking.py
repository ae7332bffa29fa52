"""Unpack the host bundle: `python3 bundle.zip FOLDER` runs this module with the system's Python.

It uses the standard library only, because the packages that everything else needs are what it unpacks. It may be killed
at any instruction: the digest is written last, and what a killed run left is replaced.
"""

from __future__ import annotations

import compileall
import hashlib
import os
import shutil
import sys
import venv
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

DIGEST = "bundle.sha256"
"""The file that says which bundle is unpacked in a folder."""
_COMMAND = """#!{python} -I
import sys

from vaultwatch.cli import main

sys.exit(main())
"""


def unpack(bundle: Path, folder: Path) -> bool:
    """Unpack a bundle: `venv` with Vaultwatch and its packages, and `assets`.

    Args:
        bundle: The zip file.
        folder: The folder that will contain them.

    Returns:
        Whether anything was done: False if the folder already contains this bundle.
    """
    done = folder / DIGEST
    digest = hashlib.sha256(bundle.read_bytes()).hexdigest()
    if done.is_file() and done.read_text() == digest:
        return False
    done.unlink(missing_ok=True)
    shutil.rmtree(folder / "assets", ignore_errors=True)
    venv.EnvBuilder(with_pip=False, symlinks=True, clear=True).create(folder / "venv")
    [packages] = (folder / "venv/lib").glob("python3*/site-packages")
    with zipfile.ZipFile(bundle) as archive:
        for name, content in _files(archive):
            _write((folder if name.startswith("assets/") else packages) / name, content)
    compileall.compile_dir(packages, quiet=2)
    _add_command(folder / "venv/bin")
    os.sync()
    done.write_text(digest)
    return True


def _files(bundle: zipfile.ZipFile) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a bundle and, instead of each wheel, its files."""
    for name in bundle.namelist():
        content = bundle.read(name)
        if not name.endswith(".whl"):
            yield name, content
            continue
        with zipfile.ZipFile(BytesIO(content)) as wheel:
            yield from ((inner, wheel.read(inner)) for inner in wheel.namelist() if not inner.endswith("/"))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _add_command(folder: Path) -> None:
    command = folder / "vaultwatch"
    command.write_text(_COMMAND.format(python=folder / "python3"))
    command.chmod(0o755)


if __name__ == "__main__":
    unpack(Path(sys.argv[0]), Path(sys.argv[1]))
