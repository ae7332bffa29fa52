"""The package for nodes that exist already: what dpkg says about it, and that it works where it is unpacked."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
import tarfile
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from stacks.bundling import ROOT, Target
from stacks.node_package import NodePackage, build_node_package
from testbed.host_values import ASSETS, EXTERNAL_NODE
from vaultwatch.hosts.files import host_files

ARCHITECTURE = {"x86_64": "amd64", "arm64": "arm64"}[Target.running().architecture]
PYTHON = Target.running().python


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> NodePackage:
    return build_node_package(PYTHON, ARCHITECTURE, tmp_path_factory.mktemp("dist"))


def test_dpkg_reads_the_package_and_unpacks_what_the_tar_file_contains(package: NodePackage, tmp_path: Path) -> None:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not on PATH")
    said = subprocess.run(["dpkg-deb", "--info", package.deb], capture_output=True, text=True, check=True).stdout
    subprocess.run(["dpkg-deb", "--extract", package.deb, tmp_path], check=True)
    buffers = (tmp_path / "var/lib/vaultwatch/buffers").stat()

    assert f" Architecture: {ARCHITECTURE}\n" in said
    assert f" Depends: python3 (>= {PYTHON})" in said
    assert stat.S_IMODE(buffers.st_mode) == 0o700  # syslog-ng makes no folder, and lines are not for everybody
    with tarfile.open(package.tar) as archive:
        for name in ("README", "bundle.zip", "host.json.example"):
            found = archive.extractfile(f"./usr/lib/vaultwatch/{name}")
            assert found is not None
            assert found.read() == (tmp_path / "usr/lib/vaultwatch" / name).read_bytes()
    assert (tmp_path / "usr/share/man/man1/vaultwatch.1").read_bytes() == (ROOT / "docs/vaultwatch.1").read_bytes()


def test_the_same_sources_give_the_same_package(package: NodePackage, tmp_path: Path) -> None:
    again = build_node_package(PYTHON, ARCHITECTURE, tmp_path)

    assert again.deb.read_bytes() == package.deb.read_bytes()
    assert again.tar.read_bytes() == package.tar.read_bytes()


def test_the_readme_names_this_package(package: NodePackage) -> None:
    with tarfile.open(package.tar) as archive:
        readme = archive.extractfile("./usr/lib/vaultwatch/README")
        assert readme is not None
        text = readme.read().decode()

    assert package.deb.name in text
    assert package.tar.name in text
    assert "{{" not in text


def test_what_it_installs_writes_the_configuration_of_the_node(package: NodePackage, tmp_path: Path) -> None:
    subprocess.run(["tar", "--extract", "--file", package.tar, "--directory", tmp_path], check=True)
    shared = tmp_path / "usr/lib/vaultwatch"
    example = json.loads((shared / "host.json.example").read_text())
    (tmp_path / "host.json").write_text(json.dumps(EXTERNAL_NODE))

    for _ in range(2):  # the second time, nothing is left to do
        subprocess.run([sys.executable, shared / "bundle.zip", tmp_path / "opt"], check=True)
    command = [f"{tmp_path}/opt/venv/bin/vaultwatch", "host", "render", "--values", f"{tmp_path}/host.json"]
    command += ["--assets", f"{tmp_path}/opt/assets", "--root", f"{tmp_path}/root"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert example.keys() == EXTERNAL_NODE.keys()
    assert "/etc/syslog-ng/conf.d/vaultwatch.conf\n" in done.stdout
    for name in ("archive", "certificate", "remove-archived", "rotate"):
        assert f"/etc/systemd/system/vaultwatch-{name}.timer\n" in done.stdout
        assert f" {name}" in (shared / "README").read_text().partition("for timer in")[2].partition(";")[0]
    assert (
        "log-server.vaultwatch.internal"
        in (tmp_path / "root/etc/syslog-ng/conf.d/vaultwatch-settings.conf").read_text()
    )


def test_a_purge_removes_everything_that_was_written_for_the_node() -> None:
    script = (ASSETS / "node-package/postrm").read_text()
    removed = [word for line in script.splitlines() if "rm -" in line for word in line.split() if word[0] == "/"]

    left = [
        file.path
        for file in host_files(EXTERNAL_NODE)
        if not any(fnmatchcase(file.path, pattern) or fnmatchcase(file.path, f"{pattern}/*") for pattern in removed)
    ]
    assert left == []
    assert {"/etc/vaultwatch", "/var/lib/vaultwatch"} < set(removed)
