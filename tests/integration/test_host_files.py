"""The files of every host, checked by the programs that read them; one that is not installed is named."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from testbed.certificates import Authority
from testbed.host_values import ASSETS, HOSTS, rendered
from testbed.syslog_ng import search_path
from testbed.trees import debian_13, in_tree, may_mount, with_files
from vaultwatch.hosts.files import host_files
from vaultwatch.hosts.writing import write_files

OURS = [name for name, values in HOSTS.items() if values["role"] != "external-node"]
LOG_SERVERS = [name for name, values in HOSTS.items() if values["role"] == "log-server"]
EXPOSURE_CEILING = 3.0


def program(name: str) -> str:
    """Return the path of a program; skip the test if it is not installed."""
    found = shutil.which(name, path=search_path())
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def said(command: Sequence[str]) -> str:
    """Run a checker that must succeed, and return all that it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def private_view() -> None:
    if not may_mount():
        pytest.skip("only root may mount a tree in place of /etc")


@pytest.fixture
def tree(tmp_path: Path, host: str) -> Path:
    """The files of a host, with certificates beside them."""
    write_files(HOSTS[host], ASSETS, tmp_path, own=False)
    authority = Authority()
    (tmp_path / "etc/vaultwatch").mkdir()
    authority.install(tmp_path / "etc/vaultwatch/tls", authority.issue(HOSTS[host]["name"]))
    return tmp_path


def syslog_ng_complaints(tree: Path, root: Path | None, scratch: Path) -> str:
    """Check syslog-ng.conf of a host with the installed syslog-ng or with that of another system.

    Args:
        tree: The files of the host.
        root: The root of the other system.
        scratch: An empty folder.

    Returns:
        What syslog-ng printed, without times.
    """
    files = {tree / f"etc/{name}": f"/etc/{name}" for name in ("syslog-ng", "vaultwatch")}
    command = [program("syslog-ng"), "--no-caps", "--syntax-only"]
    if root is None:
        Path("/etc/vaultwatch").mkdir(exist_ok=True)
        printed = said(with_files(command, files))
    else:
        printed = said(in_tree(["/usr/sbin/syslog-ng", *command[1:]], files, root, scratch))
    return re.sub(r"^\[\S+\] ", "", printed, flags=re.MULTILINE)


@pytest.mark.usefixtures("private_view")
@pytest.mark.parametrize("host", HOSTS)
class TestSyslogNg:
    def test_the_installed_one_reads_it_without_a_warning(self, host: str, tree: Path, tmp_path: Path) -> None:
        self.of_the_distribution(host, tree, Path("/"))
        assert syslog_ng_complaints(tree, None, tmp_path) == ""

    def test_that_of_debian_13_reads_it(self, host: str, tree: Path, tmp_path: Path) -> None:
        root = debian_13()
        if root is None:
            pytest.skip("there is no Debian 13 tree")
        self.of_the_distribution(host, tree, root)
        (tmp_path / "scratch").mkdir()
        complaints = syslog_ng_complaints(tree, root, tmp_path / "scratch")
        expected = "compatibility mode|kernel log devices"  # the latter of the distribution's own source
        assert [line for line in complaints.splitlines() if not re.search(expected, line)] == []

    @staticmethod
    def of_the_distribution(host: str, tree: Path, root: Path) -> None:
        """An external node keeps the syslog-ng.conf of its distribution."""
        if HOSTS[host]["role"] == "external-node":
            for file in (root / "etc/syslog-ng").glob("*.conf"):
                shutil.copy(file, tree / "etc/syslog-ng")


@pytest.mark.usefixtures("private_view")
@pytest.mark.parametrize("host", OURS)
def test_nftables_reads_the_firewall(host: str, tree: Path) -> None:
    nft = program("nft")
    users = tree / "passwd"
    users.write_text(Path("/etc/passwd").read_text() + "vault:x:7777:7777::/nonexistent:/usr/sbin/nologin\n")
    command = [nft, "--check", "--file", str(tree / "etc/nftables.conf")]
    assert said(with_files(command, {users: "/etc/passwd"})) == ""


_CONNECT = """
import socket
held = []
for source, port in (("127.0.0.1", 1515), ("127.0.0.2", 1515), ("127.0.0.1", 1516)):
    if not any(one.getsockname()[1] == port for one in held):
        held.append(socket.create_server(("127.0.0.1", port), backlog=200))
    accepted = 0
    for _ in range(30):
        try:
            held.append(socket.create_connection(("127.0.0.1", port), source_address=(source, 0)))
            accepted += 1
        except ConnectionRefusedError:
            pass
    print(accepted)
"""


@pytest.mark.usefixtures("private_view")
@pytest.mark.parametrize("host", LOG_SERVERS[:1])
def test_no_address_holds_all_connections_of_the_log_server(host: str, tree: Path, tmp_path: Path) -> None:
    """syslog-ng accepts 100 on each port, also from who shows no certificate: others could not connect."""
    firewall = (tree / "etc/nftables.conf").read_text().partition("\n")[2]
    rules = tmp_path / "rules"
    rules.write_text(firewall.replace('iifname "lo" accept', ""))  # there is no other interface
    commands = f"ip link set lo up && {program('nft')} --file {rules} && {sys.executable} -c '{_CONNECT}'"
    assert said([program("unshare"), "--net", "sh", "-c", commands]).split() == ["16", "16", "16"]


def units(tree: Path) -> Path:
    """Return the folder of the host's units, with syslog-ng's own beside them."""
    folder = tree / "etc/systemd/system"
    if not Path("/lib/systemd/system/syslog-ng.service").exists():
        pytest.skip("syslog-ng's unit is not installed")
    shutil.copy("/lib/systemd/system/syslog-ng.service", folder)
    return folder


@pytest.mark.parametrize("host", HOSTS)
def test_systemd_reads_the_units(host: str, tree: Path) -> None:
    folder = units(tree)
    command = [program("systemd-analyze"), "verify", "--man=no", *map(str, folder.glob("*.*er"))]
    done = subprocess.run([*command, *map(str, folder.glob("*.service"))], capture_output=True, text=True, check=False)
    absent = re.compile(r"Command (\S+) is not executable: No such file|Unit (nftables|chrony).service")
    problems = [line for line in done.stderr.splitlines() if str(folder) in line or "vaultwatch" in line]
    assert [line for line in problems if not absent.search(line)] == []


@pytest.mark.parametrize("host", HOSTS)
def test_every_service_is_in_a_sandbox(host: str, tree: Path) -> None:
    folder = units(tree)
    if HOSTS[host]["role"] == "external-node":
        (folder / "syslog-ng.service").unlink()  # that of the distribution, as it is
    services = sorted(folder.glob("*.service"))
    assert len(services) >= 4
    for unit in services:
        exposure = said([program("systemd-analyze"), "security", "--offline=yes", "--no-pager", str(unit)])
        (level,) = re.findall(r"Overall exposure level for \S+: ([\d.]+)", exposure)
        assert float(level) <= EXPOSURE_CEILING, unit.name


@pytest.mark.parametrize("host", LOG_SERVERS)
def test_logrotate_reads_its_configuration(host: str, tree: Path) -> None:
    complaints = said([program("logrotate"), "--debug", str(tree / "etc/logrotate.d/vaultwatch")])
    assert [line for line in complaints.splitlines()[1:] if re.search("error:|warning|unknown", line)] == []


@pytest.mark.parametrize("host", OURS)
def test_chrony_reads_its_configuration(host: str, tree: Path) -> None:
    read = said([program("chronyd"), "-p", "-f", str(tree / "etc/chrony/chrony.conf")])
    assert "server 169.254.169.123" in read


@pytest.mark.parametrize("host", OURS)
def test_shellcheck_finds_nothing_in_the_scripts(host: str, tree: Path) -> None:
    scripts = list((tree / "etc/profile.d").iterdir())
    assert scripts
    assert said([program("shellcheck"), *map(str, scripts)]) == ""


@pytest.mark.parametrize("host", OURS)
def test_the_kernel_knows_every_sysctl(host: str, tree: Path) -> None:
    lines = "".join(file.read_text() for file in (tree / "etc/sysctl.d").iterdir()).splitlines()
    settings = [line.split(" = ") for line in lines if line and not line.startswith("#")]
    assert len(settings) > 10
    required = [name for name, _ in settings if not name.startswith("-")]
    assert [name for name in required if not Path("/proc/sys", name.replace(".", "/")).exists()] == []


@pytest.mark.parametrize("host", OURS)
@pytest.mark.parametrize(("daemon", "section"), [("journald", "Journal"), ("coredump", "Coredump")])
def test_journald_and_coredump_know_every_setting(daemon: str, section: str, host: str) -> None:
    """Both ignore what they do not know: compared with the settings that their shipped configuration lists."""
    shipped = Path(f"/etc/systemd/{daemon}.conf")
    if not shipped.exists():
        pytest.skip(f"{shipped} is not installed")
    text = rendered(HOSTS[host])[f"/etc/systemd/{daemon}.conf.d/vaultwatch.conf"]
    assert f"[{section}]\n" in text
    known = set(re.findall(r"^#?(\w+)=", shipped.read_text(), re.MULTILINE))
    assert set(re.findall(r"^(\w+)=", text, re.MULTILINE)) <= known


ONLY_VAULT = {
    "disable_mlock",
    "deny_slash_in_templated_paths",
    "max_json_depth",
    "max_json_string_value_length",
    "max_json_object_entry_count",
    "max_json_array_element_count",
}


@pytest.mark.parametrize(
    ("server", "host", "unknown"),
    [("bao", "openbao", set()), ("bao", "vault", ONLY_VAULT), ("vault", "vault", set())],
)
def test_the_server_knows_every_key_of_its_configuration(server: str, unknown: set[str], tree: Path) -> None:
    """`operator diagnose` warns of each key that it does not know; that it cannot reach the seal does not matter."""
    command = [program(server), "operator", "diagnose", f"-config={tree}/etc/vault.d/vault.hcl", "-format=json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert '"name": "Parse Configuration"' in done.stdout, done.stdout + done.stderr
    assert set(re.findall(r"[Uu]nknown or unsupported field (\w+)", done.stdout)) == unknown


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user can read, which pytest's are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize("owner", ["nobody", "root"])
def test_a_server_whose_configuration_is_not_its_own_does_not_start(owner: str, folder: Path) -> None:
    """The check that the unit switches on, with a configuration that starts within a moment and ends."""
    server = program("bao")
    if os.geteuid() != 0:
        pytest.skip("only root may give files to another user")
    file = folder / "vault.hcl"
    file.write_text('storage "inmem" {}\nlistener "tcp" {\n  address = "127.0.0.1:0"\n  tls_disable = true\n}\n')
    file.chmod(0o444)
    shutil.chown(file, owner)
    command = ["setpriv", "--reuid=nobody", "--clear-groups", server, "server", f"-config={file}"]
    environment = {"PATH": search_path(), "BAO_ENABLE_FILE_PERMISSIONS_CHECK": "true"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        assert run.stdout is not None
        lines = iter(run.stdout.readline, "")
        last = next((line for line in lines if re.search("server started|is not owned by", line)), "it ended")
        run.terminate()
    assert re.search("server started" if owner == "nobody" else "is not owned by my uid", last)


@pytest.mark.parametrize("host", HOSTS)
def test_no_file_is_left_unchecked(host: str) -> None:
    """Every file of a host belongs to a program that a test of this module runs."""
    checked = r"/etc/(syslog-ng|systemd|sysctl\.d|chrony|profile\.d|logrotate\.d|vault\.d|nftables\.conf)"
    assert [file.path for file in host_files(HOSTS[host]) if not re.match(checked, file.path)] == []
