"""Unpacking the host bundle with the system's Python."""

from __future__ import annotations

import io
import subprocess
import zipfile
from pathlib import Path

from vaultwatch.hosts.unpacking import DIGEST, unpack


def bundle(path: Path, said: str = "one") -> Path:
    """A bundle with a package of ours, a wheel and an asset."""
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("wheeled/__init__.py", "NAME = 'wheel'\n")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("vaultwatch/__init__.py", "")
        archive.writestr("vaultwatch/cli.py", f"import wheeled\n\ndef main():\n    print('{said}', wheeled.NAME)\n")
        archive.writestr("wheels/wheeled-1.whl", wheel.getvalue())
        archive.writestr("assets/boot/host.sh", "asset")
    return path


def said_by(folder: Path) -> str:
    return subprocess.run([folder / "venv/bin/vaultwatch"], capture_output=True, text=True, check=True).stdout


def test_the_command_runs_with_its_packages_and_the_assets_are_beside_it(tmp_path: Path) -> None:
    assert unpack(bundle(tmp_path / "bundle.zip"), tmp_path / "opt")

    assert said_by(tmp_path / "opt") == "one wheel\n"
    assert (tmp_path / "opt/assets/boot/host.sh").read_text() == "asset"
    assert not (tmp_path / "opt/venv/bin/pip").exists()


def test_a_bundle_that_is_unpacked_is_left_as_it_is(tmp_path: Path) -> None:
    unpack(bundle(tmp_path / "bundle.zip"), tmp_path / "opt")

    assert not unpack(tmp_path / "bundle.zip", tmp_path / "opt")


def test_what_a_killed_run_has_left_is_replaced(tmp_path: Path) -> None:
    unpack(bundle(tmp_path / "bundle.zip"), tmp_path / "opt")
    (tmp_path / "opt" / DIGEST).unlink()  # it is written last
    [package] = (tmp_path / "opt/venv/lib").glob("python3*/site-packages/vaultwatch")
    (package / "cli.py").write_text("half of a fi")

    assert unpack(tmp_path / "bundle.zip", tmp_path / "opt")

    assert said_by(tmp_path / "opt") == "one wheel\n"


def test_another_bundle_replaces_the_first_one_whole(tmp_path: Path) -> None:
    unpack(bundle(tmp_path / "bundle.zip"), tmp_path / "opt")
    (tmp_path / "opt/assets/old").write_text("")

    assert unpack(bundle(tmp_path / "bundle.zip", "two"), tmp_path / "opt")

    assert said_by(tmp_path / "opt") == "two wheel\n"
    assert not (tmp_path / "opt/assets/old").exists()
