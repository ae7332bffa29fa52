"""`tools/setup` and the Makefile: what needs no root, and what a running process keeps."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETUP = ROOT / "tools/setup"


def make(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def run_functions(folder: Path, names: Sequence[str], script: str) -> str:
    """Run a script with some of the functions of tools/setup, and return what it prints."""
    source = "\n".join(f"source <(sed -n '/^{name}() {{/,/^}}/p' {SETUP})" for name in names)
    bash = ["bash", "-euo", "pipefail", "-c", f"{source}\n{script}"]
    return subprocess.run(bash, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_a_wrong_mode_of_the_demo_is_refused_before_the_set_up() -> None:
    done = make("demo", "MODE=wach")
    assert (done.returncode, done.stdout) == (2, "")
    assert "MODE=wach is neither aws nor watch" in done.stderr


def test_checking_a_log_without_a_name_is_refused_before_any_set_up() -> None:
    done = make("check", "FILE=")
    assert (done.returncode, done.stdout) == (2, "")
    assert "FILE is empty: name a log" in done.stderr


def test_checking_no_log_says_first_how_one_is_checked() -> None:
    """Who forgets FILE gets the checks of the code, which begin with minutes of set-up."""
    said = make("--dry-run", "check").stdout.splitlines()
    assert "make check FILE=LOG checks a log" in said[0]
    assert any("tools/setup" in line for line in said[1:])


def test_checking_a_log_sets_up_only_the_command() -> None:
    done = make("--dry-run", "check", "FILE=audit.log")
    assert done.stdout == "tools/check-log\n"


@pytest.mark.parametrize(
    ("named", "checked"),
    [
        ("audit.log", ["audit.log"]),
        ("my audit's $log$$.json", ["my audit's $log$$.json"]),
        ("audit.log server.log", ["audit.log", "server.log"]),
        ("*.log", ["audit.log", "server.log"]),
        ("~/audit.log", ["$HOME/audit.log"]),
        ("no such.log", ["no such.log"]),
        ("-", ["-"]),
        ("-q", ["-q"]),
    ],
)
@pytest.mark.parametrize(("status", "level"), [(0, ""), (1, "high"), (2, "")])
def test_a_log_is_checked_whatever_its_name_and_alerts_are_no_error_of_make(
    tmp_path: Path, named: str, checked: list[str], status: int, level: str
) -> None:
    for name in ("audit.log", "server.log", "my audit's $log$$.json"):
        (tmp_path / name).touch()
    for script, text in (
        ("tools/setup", 'echo "$@"'),
        (".command/bin/vaultwatch", f'printf "%s\\n" "$@"; exit {status}'),
    ):
        (tmp_path / script).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / script).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / script).chmod(0o755)
    for script in ("Makefile", "tools/check-log"):
        shutil.copy(ROOT / script, tmp_path / script)
    done = subprocess.run(
        ["make", "--no-print-directory", "check", f"FILE={named}", *([f"LEVEL={level}"] if level else [])],
        cwd=tmp_path, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    expected = ["command", "check", *(["--level", level] if level else []), "--"]
    assert done.stdout.splitlines() == expected + [one.replace("$HOME", str(tmp_path)) for one in checked]
    assert done.returncode == (2 if status == 2 else 0)
    assert ("Error" in done.stderr) == (status == 2)


def test_only_the_targets_that_run_system_packages_install_them() -> None:
    assert make("--dry-run", "setup", "style", "types").stdout.count("tools/setup system") == 0
    assert "tools/setup system" in make("--dry-run", "demo").stdout


def test_an_environment_is_swapped_below_a_running_process(tmp_path: Path) -> None:
    """The process goes on, and what is started from then on is the new environment, at the old path."""
    for name, answer in (("env", "old"), ("env.new", "new")):
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "bin/python").symlink_to(sys.executable)
        (tmp_path / name / "pyvenv.cfg").write_text(f"command = {tmp_path}/{name}\n")
        command = tmp_path / name / "bin/command"
        command.write_text(f"#!{tmp_path}/{name}/bin/python\nprint('{answer}', flush=True)\ninput()\nprint('end')\n")
        command.chmod(0o755)
    with subprocess.Popen(
        [tmp_path / "env/bin/command"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "old\n"
        assert run_functions(tmp_path, ["exchange", "swap"], "wanted=stamp swap env") == ""
        assert running.communicate("\n")[0] == "end\n"
    done = subprocess.run([tmp_path / "env/bin/command"], input="\n", capture_output=True, text=True, check=True)
    assert done.stdout == "new\nend\n"
    assert (tmp_path / "env/pyvenv.cfg").read_text() == f"command = {tmp_path}/env\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["env"]


def test_there_is_an_environment_at_every_moment_of_a_swap(tmp_path: Path) -> None:
    """A process that starts the environment's Python again and again never misses it."""
    program = shutil.which("true")
    assert program
    loop = "while [ ! -e end ]; do env/bin/python || echo missed; touch began; done"
    (tmp_path / "env/bin").mkdir(parents=True)
    (tmp_path / "env/bin/python").symlink_to(program)
    with subprocess.Popen(
        ["bash", "-c", loop], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as looping:
        try:
            swaps = """
                until [ -e began ]; do :; done
                for _ in 1 2 3 4 5; do
                    mkdir -p env.new/bin; ln -s "$(readlink env/bin/python)" env.new/bin/python; wanted=stamp swap env
                done
            """
            run_functions(tmp_path, ["exchange", "swap"], swaps)
        finally:
            (tmp_path / "end").touch()
        assert looping.communicate()[0] == ""


def test_where_folders_cannot_be_exchanged_the_swap_says_so(tmp_path: Path) -> None:
    for name in ("env", "env.new"):
        (tmp_path / name / "bin").mkdir(parents=True)
    (tmp_path / "env.new/it").touch()
    said = run_functions(tmp_path, ["swap"], "exchange() { return 1; }; wanted=stamp swap env")
    assert said == "set-up: this system cannot exchange two folders in one step: for a moment there is no env\n"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["bin", "env", "it", "set-up"]


@pytest.mark.parametrize(
    ("has", "packages", "missing"),
    [
        ("nft shellcheck chronyd", "", ""),
        ("", "", "nftables shellcheck chrony"),
        ("", "installed time-daemon", "nftables shellcheck"),
        ("nft", "config-files time-daemon", "shellcheck chrony"),
    ],
)
def test_programs_that_a_few_tests_run_are_asked_for(tmp_path: Path, has: str, packages: str, missing: str) -> None:
    """A second time daemon is not."""
    stubs = f'installed() {{ [[ " {has} " = *" $1 "* ]]; }}; dpkg-query() {{ echo "{packages}"; }}'
    said = run_functions(tmp_path, ["has_another", "missing_optional_packages"], f"{stubs}; missing_optional_packages")
    assert said.split() == missing.split()


def test_an_optional_package_that_cannot_be_had_does_not_fail_the_set_up(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    stubs = """
        missing_optional_packages() { printf '%s\\n' one two; }
        apt_install() { [ "$*" = one ] || { echo refused >&2; exit 1; }; echo "installing $*"; }
    """
    said = run_functions(tmp_path, ["install_optional"], f"{stubs}install_optional; install_optional; echo end")
    assert said.splitlines() == [
        "set-up: two could not be installed: the tests of a host's files that run them are skipped",
        "end",
    ]
