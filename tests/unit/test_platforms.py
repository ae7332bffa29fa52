"""The base dependencies: each has a wheel for every Python and every platform on which the command is promised to run.

requirements.txt has hashes and no names of files. `tests/data/wheels.txt` has the names, as `make requirements` writes
them; each of its hashes is one of the lock.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import parse_wheel_filename

ROOT = Path(__file__).parents[2]
PINS = re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
LOCK = "".join((ROOT / name).read_text() for name in ("requirements.txt", "requirements-dev.txt"))
LOCKED = set(re.findall(r"sha256:([0-9a-f]{64})", LOCK))
WHEELS = [line.split() for line in (ROOT / "tests/data/wheels.txt").read_text().splitlines()]
PLATFORMS = {
    "linux-x86-64": [f"manylinux_2_{minor}_x86_64" for minor in range(36, 4, -1)] + ["manylinux2014_x86_64"],
    "linux-arm64": [f"manylinux_2_{minor}_aarch64" for minor in range(36, 16, -1)] + ["manylinux2014_aarch64"],
    "macos-x86-64": list(mac_platforms((13, 0), "x86_64")),
    "macos-arm64": list(mac_platforms((13, 0), "arm64")),
}


def tags_of(package: str) -> set[Tag]:
    """Return the tags of all wheels of a package."""
    parsed = [parse_wheel_filename(name) for _, name in WHEELS]
    return {tag for name, _, _, tags in parsed if name == package for tag in tags}


def names() -> list[str]:
    return sorted({parse_wheel_filename(name)[0] for _, name in WHEELS})


def test_every_wheel_is_one_of_the_lock() -> None:
    assert {hash_ for hash_, _ in WHEELS} <= LOCKED
    versions = {(str(name), str(version)) for name, version, _, _ in (parse_wheel_filename(name) for _, name in WHEELS)}
    assert {name for name, _ in versions} <= {name for name, _ in PINS} | {"setuptools"}
    assert {one for one in versions if one[0] != "setuptools"} <= set(PINS)


def test_every_base_dependency_is_among_them() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    found = re.search(r"^dependencies = \[(.*)\]$", text, re.MULTILINE)
    assert found is not None
    assert {Requirement(one).name for one in re.findall(r'"([^"]+)"', found[1])} <= set(map(str, names()))


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("minor", [11, 12, 13, 14])
def test_each_has_a_wheel_for(minor: int, platform: str) -> None:
    platforms = PLATFORMS[platform]
    good = {*cpython_tags((3, minor), platforms=platforms), *compatible_tags((3, minor), f"cp3{minor}", platforms)}
    assert [name for name in names() if not tags_of(name) & good] == []


def test_the_container_copies_files_that_exist() -> None:
    lines = re.findall(r"^COPY (?!--)(.*)$", (ROOT / "Containerfile").read_text(), re.MULTILINE)
    sources = [name for line in lines for name in line.split()[:-1]]
    assert "vaultwatch" in sources
    assert all((ROOT / name).exists() for name in sources)
    ignored = (ROOT / ".containerignore").read_text().splitlines()
    assert [name for name in sources if f"!{name}" not in ignored] == []


def test_the_containerfile_has_no_lint() -> None:
    hadolint = shutil.which("hadolint", path=os.pathsep.join([str(ROOT / ".venv/bin"), os.environ["PATH"]]))
    assert hadolint, "make setup installs it"
    subprocess.run([hadolint, str(ROOT / "Containerfile")], check=True)
