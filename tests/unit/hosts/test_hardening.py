"""HashiCorp's production hardening, as far as files on a host can fulfil it, and the page that names the tests."""

import re
from pathlib import Path

import pytest

from testbed.host_values import ASSETS, HOSTS, NODE, OPENBAO_NODE, rendered
from vaultwatch.hosts.files import host_files

ROOT = Path(__file__).parents[3]
ROWS = [f"B{number}" for number in range(1, 25)] + [f"E{number}" for number in range(1, 13)]
NODES = {"vault": NODE, "openbao": OPENBAO_NODE}
OURS = {name: values for name, values in HOSTS.items() if values["role"] != "external-node"}
UNITS = "/etc/systemd/system"


@pytest.fixture(params=list(NODES.values()), ids=list(NODES))
def node(request: pytest.FixtureRequest) -> dict[str, str]:
    return rendered(request.param)


@pytest.fixture(params=list(OURS.values()), ids=list(OURS))
def host(request: pytest.FixtureRequest) -> dict[str, str]:
    return rendered(request.param)


def unit(files: dict[str, str], name: str = "vault.service") -> dict[str, list[str]]:
    """Return the settings of a unit, each with all its values."""
    settings: dict[str, list[str]] = {}
    for line in files[f"{UNITS}/{name}"].splitlines():
        if re.match(r"\w+=", line):
            key, _, value = line.partition("=")
            settings.setdefault(key, []).append(value)
    return settings


def configuration(files: dict[str, str]) -> str:
    """Return the server's configuration without comments and with single spaces."""
    lines = (line.split("#")[0] for line in files["/etc/vault.d/vault.hcl"].splitlines())
    return re.sub(r" +", " ", "\n".join(line.strip() for line in lines))


class TestServer:
    def test_it_runs_as_a_user_of_its_own_without_capabilities(self, node: dict[str, str]) -> None:
        service = unit(node)
        assert (service["User"], service["Group"]) == (["vault"], ["vault"])
        assert (service["CapabilityBoundingSet"], service["NoNewPrivileges"]) == ([""], ["yes"])

    def test_it_may_write_to_its_two_volumes_only(self, node: dict[str, str]) -> None:
        service = unit(node)
        assert service["ProtectSystem"] == ["strict"]
        assert service["ReadWritePaths"] == ["/var/lib/vault /var/log/vault"]
        assert service["RequiresMountsFor"] == ["/var/lib/vault /var/log/vault"]

    def test_every_listener_speaks_tls_1_3_and_says_so_to_browsers(self, node: dict[str, str]) -> None:
        text = configuration(node)
        assert text.count('listener "') == text.count('tls_min_version = "tls13"') == 2
        assert "tls_disable" not in text
        assert '"Strict-Transport-Security" = ["max-age=31536000; includeSubDomains"]' in text
        assert not re.search(r"http://", text)

    def test_memory_is_never_written_to_disk(self, node: dict[str, str]) -> None:
        """mlock is off, because Raft's files are mapped into memory: then swap has to be off, too."""
        service = unit(node)
        assert service["MemorySwapMax"] == ["0"]
        assert "+/usr/sbin/swapoff --all" in service["ExecStartPre"]

    def test_a_user_is_locked_out_after_five_wrong_passwords(self, node: dict[str, str]) -> None:
        assert 'user_lockout "all" {\nlockout_threshold = "5"\nlockout_duration = "15m"' in configuration(node)

    def test_no_plugin_can_be_added_from_the_disk(self, node: dict[str, str]) -> None:
        assert "plugin_directory" not in configuration(node)

    def test_it_reads_exactly_one_file(self, node: dict[str, str]) -> None:
        (command,) = unit(node)["ExecStart"]
        assert re.findall(r"-config=\S+", command) == ["-config=/etc/vault.d/vault.hcl"]

    def test_it_starts_only_if_that_file_is_its_own(self, node: dict[str, str]) -> None:
        environment = unit(node)["Environment"]
        assert {"VAULT_ENABLE_FILE_PERMISSIONS_CHECK=true", "BAO_ENABLE_FILE_PERMISSIONS_CHECK=true"} <= {*environment}
        (file,) = [one for one in host_files(NODE) if one.path == "/etc/vault.d/vault.hcl"]
        assert (file.owner, file.mode) == ("vault:vault", 0o440)

    def test_leases_are_short(self, node: dict[str, str]) -> None:
        assert 'default_lease_ttl = "1h"\nmax_lease_ttl = "24h"' in configuration(node)

    def test_it_may_open_many_files(self, node: dict[str, str]) -> None:
        assert unit(node)["LimitNOFILE"] == ["65536"]

    def test_a_name_with_a_slash_cannot_leave_its_templated_path(self) -> None:
        assert "deny_slash_in_templated_paths = true" in configuration(rendered(NODE))

    def test_a_request_is_small_because_it_is_logged_whole(self, node: dict[str, str]) -> None:
        assert "max_request_size = 2097152" in configuration(node)

    def test_openbao_declares_two_audit_devices_of_different_types(self) -> None:
        text = configuration(rendered(OPENBAO_NODE))
        assert re.findall(r'audit "(\w+)"', text) == ["socket", "file"]
        assert text.count('elide_list_responses = "true"') == text.count('hmac_accessor = "false"') == 2
        assert 'address = "127.0.0.1:1515"' in text
        assert 'write_timeout = "100ms"' in text

    def test_telemetry_is_on_loopback_and_for_root_only(self, node: dict[str, str]) -> None:
        (_listener,) = re.findall(
            r'listener "tcp" \{\naddress = "(127\.0\.0\.1:8210)"[^#]*?unauthenticated_metrics_access = true',
            configuration(node),
        )
        assert configuration(node).count("unauthenticated_metrics_access") == 1
        assert 'tcp dport 8210 oifname "lo" meta skuid != "root" reject' in node["/etc/nftables.conf"]

    def test_no_line_of_the_server_log_is_dropped_for_coming_too_fast(self, node: dict[str, str]) -> None:
        assert unit(node)["LogRateLimitIntervalSec"] == ["0"]
        assert "LineMax=1M" in node["/etc/systemd/journald.conf.d/vaultwatch.conf"]


class TestHost:
    def test_no_core_dump_is_written(self, host: dict[str, str]) -> None:
        sysctl = host["/etc/sysctl.d/60-vaultwatch.conf"]
        assert "kernel.core_pattern = |/bin/false\nfs.suid_dumpable = 0" in sysctl
        assert "Storage=none" in host["/etc/systemd/coredump.conf.d/vaultwatch.conf"]
        services = [path for path in host if re.search(r"\.service(\.d/.*)?$", path)]
        assert len(services) >= 3
        assert [path for path in services if "\nLimitCORE=0\n" not in host[path]] == []

    def test_shells_keep_no_history(self, host: dict[str, str]) -> None:
        assert "\nunset HISTFILE\n" in host["/etc/profile.d/vaultwatch.sh"]

    def test_the_clock_follows_amazons_time_service(self, host: dict[str, str]) -> None:
        sources = re.findall(r"^(?:server|pool|peer) (\S+)", host["/etc/chrony/chrony.conf"], re.MULTILINE)
        assert sources == ["169.254.169.123"]

    def test_no_file_holds_a_credential(self, host: dict[str, str]) -> None:
        secret = re.compile(r"AKIA|ASIA|PRIVATE KEY|hv[sbr]\.|(?i:access_key|secret_key|password|token)\s*=\s*\S")
        assert [path for path, text in host.items() if secret.search(text)] == []

    def test_no_command_line_holds_a_secret(self, host: dict[str, str]) -> None:
        """Every user of a host can read the command lines of all processes."""
        commands = re.findall(r"^Exec\w+=(.*)", "\n".join(host.values()), re.MULTILINE)
        assert commands
        assert [command for command in commands if re.search(r"token|password|secret|login|unseal", command)] == []

    def test_the_firewall_drops_what_it_does_not_name(self, host: dict[str, str]) -> None:
        firewall = host["/etc/nftables.conf"]
        assert "hook input priority filter; policy drop;" in firewall
        assert "hook forward priority filter; policy drop;" in firewall
        assert "dport 22" not in firewall

    def test_the_credentials_of_the_hosts_role_are_not_for_every_user(self, host: dict[str, str]) -> None:
        assert "ip daddr 169.254.169.254 tcp dport 80 meta skuid != " in host["/etc/nftables.conf"]


@pytest.mark.parametrize("role", ["node", "log-server"])
def test_syslog_ng_starts_when_all_that_it_must_remember_is_mounted(role: str) -> None:
    drop_in = (ASSETS / f"systemd/{role}-syslog-ng.conf").read_text()
    assert "\nRequiresMountsFor=/var/lib/syslog-ng /var/lib/vaultwatch /var/log/vault\n" in drop_in


@pytest.mark.parametrize("role", ["node", "log-server"])
def test_no_connection_of_syslog_ng_waits_for_the_thread_of_another(role: str) -> None:
    """`tests/integration/test_lanes.py` has why."""
    assert " --worker-threads=64 " in (ASSETS / f"systemd/{role}-syslog-ng.conf").read_text()


def test_handlers_are_not_killed_when_syslog_ng_has_ended() -> None:
    """They have lines to send; with KillMode=mixed, systemd kills them at that moment."""
    assert "\nKillMode=control-group\nTimeoutStopSec=90\n" in (ASSETS / "systemd/log-server-syslog-ng.conf").read_text()


def test_only_vaults_user_may_write_audit_entries(node: dict[str, str]) -> None:
    firewall = node["/etc/nftables.conf"]
    assert 'tcp dport 1515 oifname "lo" meta skuid != "vault" reject' in firewall
    assert unit(node)["Requires"] == ["nftables.service"]
    assert 'ip("127.0.0.1") port(`vaultwatch-audit-port`)' in node["/etc/syslog-ng/conf.d/vaultwatch.conf"]


class TestPage:
    @pytest.fixture
    def rows(self) -> dict[str, list[str]]:
        lines = re.findall(r"^\| ([BE]\d+) \| (.*) \|$", (ROOT / "docs/hardening.md").read_text(), re.MULTILINE)
        return {row: cells.split(" | ") for row, cells in lines}

    def test_it_has_a_row_for_each_item(self, rows: dict[str, list[str]]) -> None:
        assert list(rows) == ROWS
        assert all(len(row) == 3 and all(row) for row in rows.values())

    def test_every_file_that_it_names_exists(self, rows: dict[str, list[str]]) -> None:
        named = [name for row in rows.values() for name in re.findall(r"`([\w./-]+/[\w.-]+)`", row[1])]
        assert len(named) > 20
        assert [name for name in named if not (ROOT / name).exists()] == []

    def test_every_row_names_a_test_or_says_why_there_is_none(self, rows: dict[str, list[str]]) -> None:
        tests = {row: re.findall(r"`(tests/\S+\.py)::(test_\w+)`", cells[2]) for row, cells in rows.items()}
        assert [row for row, found in tests.items() if not found and not rows[row][2].startswith("none: ")] == []
        missing = [
            f"{file}::{name}"
            for found in tests.values()
            for file, name in found
            if not re.search(rf"def {name}\(", (ROOT / file).read_text())
        ]
        assert missing == []
