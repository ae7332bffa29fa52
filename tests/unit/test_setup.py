"""`tools/setup` and the Makefile: what needs no root, and what a running process keeps."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def make(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_wrong_mode_of_the_demo_is_refused_before_the_set_up() -> None:
    done = make("demo", "MODE=wach")
    assert (done.returncode, done.stdout) == (2, "")
    assert "MODE=wach is neither aws nor watch" in done.stderr


def test_checking_a_log_sets_up_only_the_command() -> None:
    done = make("--dry-run", "check", "FILE=audit.log")
    assert done.stdout.splitlines() == [
        "tools/setup command",
        ".command/bin/vaultwatch check  audit.log || test $? = 1",
    ]


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
        function = f"source <(sed -n '/^swap() {{/,/^}}/p' {ROOT}/tools/setup); wanted=stamp swap env"
        subprocess.run(["bash", "-euc", function], cwd=tmp_path, check=True)
        assert running.communicate("\n")[0] == "end\n"
    done = subprocess.run([tmp_path / "env/bin/command"], input="\n", capture_output=True, text=True, check=True)
    assert done.stdout == "new\nend\n"
    assert (tmp_path / "env/pyvenv.cfg").read_text() == f"command = {tmp_path}/env\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["env"]
