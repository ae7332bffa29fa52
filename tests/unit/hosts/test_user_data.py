"""The user data of hosts, as a program that reads shell scripts sees it, and what it does with credentials."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from stacks.user_data import BundleLocation, host_user_data, nat_user_data
from testbed.host_values import NODE

SCRIPTS = {
    "host": host_user_data(NODE, BundleLocation("https://bucket.s3.eu-central-1.amazonaws.com/key.zip", "", "0" * 64)),
    "nat": nat_user_data("10.90.0.0/20"),
}


def inner(script: str) -> dict[str, str]:
    """The files that a script writes, by the word that ends each."""
    parts = {}
    for word in ("BOOT", "UNIT", "VALUES"):
        _, begins, rest = script.partition(f"<<'{word}'\n")
        if begins:
            parts[word] = rest.partition(f"\n{word}\n")[0] + "\n"
    return parts


@pytest.mark.parametrize("name", SCRIPTS)
def test_cloud_init_runs_it_at_every_boot(name: str) -> None:
    first, second, *_ = SCRIPTS[name].splitlines()

    assert (first, second) == ("#cloud-boothook", "#!/bin/bash")


@pytest.mark.parametrize("name", SCRIPTS)
def test_bash_reads_it_and_shellcheck_finds_nothing(tmp_path: Path, name: str) -> None:
    scripts = [SCRIPTS[name].removeprefix("#cloud-boothook\n"), inner(SCRIPTS[name]).get("BOOT", "#!/bin/bash\n")]
    for number, text in enumerate(scripts):
        script = tmp_path / f"{number}.sh"
        script.write_text(text)
        assert subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False).stderr == ""
        if shutil.which("shellcheck"):
            found = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)
            assert found.stdout == ""


def test_no_credential_is_ever_an_argument() -> None:
    """Every user of a host sees the arguments of all processes. `get` and `printf` are no processes."""
    lines = inner(SCRIPTS["host"])["BOOT"].splitlines()

    started = [line for line in lines if "curl " in line or "python3 " in line]
    assert started
    assert not any("$token" in line or "$credentials" in line or "$1" in line for line in started)
