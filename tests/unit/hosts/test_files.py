"""Which files a host gets, with which permissions, and how they are written."""

import stat
from pathlib import Path

import pytest

from testbed.host_values import (
    ASSETS,
    EXTERNAL_NODE,
    HOSTS,
    LOG_SERVER,
    NODE,
    OPENBAO_NODE,
    WATCHING_LOG_SERVER,
    rendered,
)
from vaultwatch.errors import SettingError
from vaultwatch.hosts.files import host_files
from vaultwatch.hosts.values import AUDIT_FILE
from vaultwatch.hosts.writing import write_files

ONE_MACHINE = {  # installed by hand, see docs/watch.md
    "syslog-ng/vaultwatch.conf",
    "syslog-ng/vaultwatch-journal.conf",
    "syslog-ng/vaultwatch-settings.conf",
    "systemd/vaultwatch-follow.sh",
    "systemd/vaultwatch-watch.service",
}
BEFORE = {"apt", "boot", "node-package", "python"}
"""The folders of what a host needs before its files can be written."""
EXTERNAL = ("archive", "certificate", "remove-archived", "rotate")


@pytest.mark.parametrize("values", HOSTS.values(), ids=HOSTS)
def test_no_file_has_a_placeholder_left(values: dict[str, str]) -> None:
    assert [path for path, text in rendered(values).items() if "{{" in text] == []


@pytest.mark.parametrize("values", HOSTS.values(), ids=HOSTS)
def test_no_path_is_written_twice(values: dict[str, str]) -> None:
    paths = [file.path for file in host_files(values)]
    assert len(paths) == len(set(paths))


def test_every_asset_is_some_hosts_file() -> None:
    used = {file.asset for values in HOSTS.values() for file in host_files(values)}
    found = {path.relative_to(ASSETS) for path in ASSETS.rglob("*") if path.is_file()}
    later = {str(path) for path in found if path.parts[0] not in BEFORE}
    assert later - ONE_MACHINE == used | {
        "vault/join.hcl",
        "vault/administrator.hcl",
        "vault/snapshot.hcl",
        "vault/vaultwatch-canary.hcl",
    }


def test_a_node_joins_every_other_node() -> None:
    configuration = rendered(NODE)["/etc/vault.d/vault.hcl"]
    assert configuration.count("retry_join {") == 2
    assert 'leader_api_addr       = "https://vault-3.vaultwatch.internal:8200"' in configuration
    assert '"https://vault-1.vaultwatch.internal:8200"\n    leader' not in configuration


def test_a_single_node_joins_nobody() -> None:
    configuration = rendered({**NODE, "nodes": "vault-1.vaultwatch.internal"})["/etc/vault.d/vault.hcl"]
    assert "retry_join" not in configuration


def test_the_product_decides_the_program_and_its_configuration() -> None:
    vault, openbao = rendered(NODE), rendered(OPENBAO_NODE)
    assert "ExecStart=/usr/local/bin/vault server" in vault["/etc/systemd/system/vault.service"]
    assert "ExecStart=/usr/local/bin/bao server" in openbao["/etc/systemd/system/vault.service"]
    assert 'audit "socket"' in openbao["/etc/vault.d/vault.hcl"]
    assert "audit" not in vault["/etc/vault.d/vault.hcl"].replace("# ", "")


def test_the_handler_decides_who_removes_old_logs() -> None:
    """With S3 only what S3 has may be removed; without it, age decides."""
    assert "maxage" not in rendered(LOG_SERVER)["/etc/logrotate.d/vaultwatch"]
    assert "maxage 90" in rendered(WATCHING_LOG_SERVER)["/etc/logrotate.d/vaultwatch"]


def test_a_node_follows_the_file_of_its_audit_device() -> None:
    unit = rendered(NODE)["/etc/systemd/system/vaultwatch-archive.service.d/node.conf"]
    assert unit.endswith(f"archive follow --bucket vaultwatch-archive --node vault-1 {AUDIT_FILE}\nLimitCORE=0\n")


def test_an_external_node_rotates_and_uploads_the_file_that_its_audit_device_writes() -> None:
    files = rendered(EXTERNAL_NODE)
    units = {name: files[f"/etc/systemd/system/vaultwatch-{name}.service.d/external-node.conf"] for name in EXTERNAL}

    assert "archive follow --bucket vaultwatch-archive --node vault-1 /srv/vault/audit.log\n" in units["archive"]
    assert "remove-archived /srv/vault\n" in units["remove-archived"]
    for name in ("archive", "remove-archived", "rotate"):
        assert units[name].endswith("ReadWritePaths=\nReadWritePaths=/srv/vault\n")
    for name in ("archive", "certificate"):
        assert "\nEnvironment=AWS_CONFIG_FILE=/etc/vaultwatch/aws.config\n" in units[name]


def test_only_vault_may_read_its_configuration() -> None:
    (file,) = [file for file in host_files(NODE) if file.path == "/etc/vault.d/vault.hcl"]
    assert (file.mode, file.owner) == (0o440, "vault:vault")


def test_files_are_written_with_their_permissions_and_only_if_they_differ(tmp_path: Path) -> None:
    first = write_files(NODE, ASSETS, tmp_path, own=False)
    assert first == [file.path for file in host_files(NODE)]
    for file in host_files(NODE):
        assert stat.S_IMODE((tmp_path / file.path[1:]).stat().st_mode) == file.mode
    changed = tmp_path / "etc/nftables.conf"
    changed.write_text("accept everything")
    (tmp_path / "etc/sysctl.d/60-vaultwatch.conf").chmod(0o666)
    assert write_files(NODE, ASSETS, tmp_path, own=False) == ["/etc/nftables.conf"]
    assert changed.read_text() == rendered(NODE)["/etc/nftables.conf"]
    assert stat.S_IMODE((tmp_path / "etc/sysctl.d/60-vaultwatch.conf").stat().st_mode) == 0o644
    assert list(tmp_path.rglob("*.new")) == []


def test_a_value_that_cannot_be_used_changes_no_file(tmp_path: Path) -> None:
    with pytest.raises(SettingError):
        write_files({**NODE, "cluster": "a b"}, ASSETS, tmp_path, own=False)
    assert list(tmp_path.iterdir()) == []
