"""The wheel: what `pip install .` installs on a machine without this repository."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
AUDIT_LOG = ROOT / "tests/data/recordings/vault-1.14.2/generate-root/audit.jsonl"
REMOVED = ("vaultwatch/removed.py", "vaultwatch/removed/__init__.py", "vaultwatch/rules/sigma/audit_removed.yml")
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `vaultwatch` of a fresh environment that has the built wheel and, for speed, this one's dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "vaultwatch", source / "vaultwatch", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "rules", source / "rules", ignore=shutil.ignore_patterns("__pycache__"))
    (source / "docs").mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "docs/vaultwatch.1"):
        shutil.copy(ROOT / name, source / name)
    for name in REMOVED:  # as `pip install .` of an older version left it
        (source / "build/lib" / name).parent.mkdir(parents=True, exist_ok=True)
        (source / "build/lib" / name).write_text("raise SystemExit('of an older version')\n")
    subprocess.run(
        [*PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(source)], check=True, cwd=folder
    )
    environment = folder / "environment"
    venv.create(environment, with_pip=False, symlinks=True)
    (wheel,) = folder.glob("vaultwatch-*.whl")
    install = ["--python", str(environment / "bin/python"), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([*PIP, *install], check=True, cwd=folder)
    (packages,) = (environment / "lib").glob("python*/site-packages")
    # A path in a .pth file is searched last, and its own .pth files, the editable install among them, are not read.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin/vaultwatch"


def run(command: Path, *arguments: str | Path, folder: Path) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [command, *arguments], capture_output=True, text=True, cwd=folder, env=environment, check=False
    )


def test_it_runs_the_code_of_the_wheel(command: Path, tmp_path: Path) -> None:
    script = "import vaultwatch.rules.pack as pack; print(pack.SHIPPED_PACK)"
    python = command.with_name("python")
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert Path(done.stdout.strip()).is_relative_to(command.parents[1])


def test_nothing_that_an_older_version_left_in_build_is_inside(command: Path) -> None:
    (installed,) = command.parents[1].glob("lib/python*/site-packages/vaultwatch")
    assert [name for name in REMOVED if (installed.parent / name).exists()] == []


def test_the_documented_size_is_that_of_the_wheel_and_its_dependencies(command: Path) -> None:
    (packages,) = command.parents[1].glob("lib/python*/site-packages")
    waiting, found = ["vaultwatch"], {"vaultwatch"}
    size = sum(path.stat().st_blocks * 512 for path in (packages / "vaultwatch").rglob("*"))
    while waiting:
        required = map(Requirement, metadata.distribution(waiting.pop()).requires or ())
        new = {one.name for one in required if one.marker is None or one.marker.evaluate({"extra": ""})} - found
        found |= new
        waiting += new
        files = [file for name in new for file in metadata.distribution(name).files or ()]
        size += sum(Path(str(file.locate())).stat().st_blocks * 512 for file in files)
    (documented,) = re.findall(r"about\s([0-9]+) MB", (ROOT / "docs/install.md").read_text())
    assert size / 1e6 == pytest.approx(int(documented), rel=0.15)


def test_check_finds_in_another_folder_what_it_finds_here(command: Path, tmp_path: Path) -> None:
    here = subprocess.run(
        [sys.executable, "-m", "vaultwatch", "check", "--format", "json", AUDIT_LOG],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    there = run(command, "check", "--format", "json", AUDIT_LOG, folder=tmp_path)
    counts, _, seconds = there.stderr.rpartition(", ")
    assert (there.returncode, counts) == (1, here.stderr.rpartition(", ")[0])
    assert seconds.endswith(" s\n")
    assert [json.loads(line)["id"] for line in there.stdout.splitlines()]
    assert there.stdout == here.stdout


def test_the_shipped_rules_are_inside(command: Path, tmp_path: Path) -> None:
    done = run(command, "rules", "list", folder=tmp_path)
    assert done.returncode == 0
    assert "audit_device_disabled" in done.stdout


def test_the_files_of_the_shipped_rules_are_inside_for_commands_that_need_them(command: Path, tmp_path: Path) -> None:
    def tree(folder: Path) -> dict[str, bytes]:
        found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {str(path.relative_to(folder)): path.read_bytes() for path in found}

    (installed,) = command.parents[1].glob("lib/python*/site-packages/vaultwatch/rules/sigma")
    assert tree(installed) == tree(ROOT / "rules")
    page = run(command, "rules", "coverage", folder=tmp_path)
    assert (page.returncode, page.stdout) == (0, (ROOT / "docs/coverage.md").read_text())


def test_the_manual_page_is_where_man_looks_for_that_of_a_command_on_path(command: Path) -> None:
    page = command.parents[1] / "share/man/man1/vaultwatch.1"
    assert page.read_bytes() == (ROOT / "docs/vaultwatch.1").read_bytes()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_its_commands(command: Path, tmp_path: Path, shell: str) -> None:
    words = {"COMP_WORDS": "vaultwatch che", "COMP_CWORD": "1" if shell != "fish" else "che"}
    environment = {"PATH": os.environ["PATH"], "_VAULTWATCH_COMPLETE": f"{shell}_complete", **words}
    done = subprocess.run([command], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert "check" in done.stdout
