"""Setting up a host: every step once, whatever killed the machine before, and no disk with anything on it formatted."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from testbed.host_values import LOG_SERVER, NODE
from tests.support.machine import ADDRESS, BLANK_BYTES, INSTANCE, Disk, Killed, Machine, release, sha256
from vaultwatch.errors import InstallError
from vaultwatch.hosts.install import boot, install
from vaultwatch.hosts.install.readiness import report_ready
from vaultwatch.hosts.install.run import FAILED_AFTER_SECONDS
from vaultwatch.hosts.install.server import release_url

DATA, AUDIT = "vol-0aaaaaaaaaaaaaaaa", "vol-0bbbbbbbbbbbbbbbb"
RELEASE = release("vault")
ASKING = ("blkid", "blockdev", "dpkg-query", "dumpe2fs", "getent", "lsblk", "mountpoint", "systemctl is-")
"""The programs that change nothing."""
VALUES = {
    "node": {**NODE, "volumes": f"{DATA}=/var/lib/vault,{AUDIT}=/var/log/vault", "server_sha256": sha256(RELEASE)},
    "log-server": {**LOG_SERVER, "volumes": f"{DATA}=/var/lib/vaultwatch,{AUDIT}=/var/log/vault"},
}


def machine(root: Path, role: str = "node", **options: Any) -> Machine:
    releases = {release_url("vault", "2.0.3").rpartition("/")[2]: RELEASE}
    given = {"disks": {name: Disk() for name in (AUDIT, DATA)}, "releases": releases, **options}
    return Machine(root, VALUES[role], **given)


def state(made: Machine) -> dict[str, Any]:
    """What a machine keeps, and what runs on it."""
    files = {
        path.relative_to(made.root).as_posix(): path.read_bytes()
        for folder in ("etc", "usr", "run")
        for path in (made.root / folder).rglob("*")
        if path.is_file()
    }
    running = made.active - {"vaultwatch-bootstrap.service"}  # it ends
    kept = (made.users, made.packages, made.mounted, running, made.enabled, made.names)
    disks = {name: (disk.file_system, disk.file_system_size, disk.reserved) for name, disk in made.disks.items()}
    return {"files": files, "kept": kept, "disks": disks, "signals": set(made.signals)}


@pytest.mark.parametrize("role", VALUES)
def test_a_new_host_is_set_up_and_signals_success(tmp_path: Path, role: str) -> None:
    made = machine(tmp_path, role)

    boot(made.host, uptime_seconds=60)

    assert made.signals == [("SUCCESS", INSTANCE)]
    assert made.names == {f"{made.values['name']}.vaultwatch.internal": ADDRESS}
    assert "syslog-ng.service" in made.active & made.enabled
    assert ("vault.service" in made.active) == (role == "node")
    assert (tmp_path / "usr/local/bin/vault").exists() == (role == "node")


@pytest.mark.parametrize("role", VALUES)
def test_a_host_that_is_set_up_is_left_as_it_is(tmp_path: Path, role: str) -> None:
    made = machine(tmp_path, role)
    boot(made.host, uptime_seconds=60)
    before, made.calls = state(made), []

    boot(made.host, uptime_seconds=660)

    changing = (
        "apt-get",
        "attach",
        "mkfs",
        "mount ",
        "download",
        "name",
        "signal",
        "systemctl start",
        "systemctl restart",
    )
    assert [call for call in made.calls if call.startswith(changing)] == []
    assert state(made) == before


@pytest.mark.parametrize(
    ("role", "step"),
    [("node", 3), *(pytest.param(role, 1, marks=pytest.mark.long) for role in ("node", "log-server"))],
)
def test_a_loss_of_power_at_any_call_is_made_good_by_the_next_boot(tmp_path: Path, role: str, step: int) -> None:
    whole = machine(tmp_path / "whole", role)
    boot(whole.host, uptime_seconds=60)

    changing = [number for number, call in enumerate(whole.calls, 1) if not call.startswith(ASKING)]
    assert len(changing) > 20
    kills = [kill_at for call in changing for kill_at in (call, -call)]  # before it has an effect, and after
    for kill_at in kills[::step]:
        made = machine(tmp_path / f"{kill_at}", role, kill_at=kill_at)
        with pytest.raises(Killed):
            boot(made.host, uptime_seconds=60)
        made.lose_power()
        boot(made.host, uptime_seconds=60)
        assert state(made) == state(whole), f"killed at {whole.calls[abs(kill_at) - 1]}"


def test_after_a_reboot_what_runs_with_its_configuration_is_not_started_again(tmp_path: Path) -> None:
    made = machine(tmp_path)
    boot(made.host, uptime_seconds=60)
    made.lose_power()

    boot(made.host, uptime_seconds=60)

    assert made.restarts == 1  # at the first boot: it would lose what Vault writes to the socket meanwhile
    assert made.signals == [("SUCCESS", INSTANCE)] * 2


@pytest.mark.parametrize(("buffers", "reserved"), [(2 * 1024**2, 512), (1024**3, BLANK_BYTES // 4096 * 2 // 5)])
def test_the_audit_file_cannot_take_the_room_of_the_disk_buffers_beside_it(
    tmp_path: Path, buffers: int, reserved: int
) -> None:
    made = machine(tmp_path)
    made.values = {**made.values, "audit_buffer_bytes": str(buffers // 2), "server_buffer_bytes": str(buffers // 2)}

    boot(made.host, uptime_seconds=60)

    assert made.disks[AUDIT].reserved == reserved
    assert made.disks[DATA].reserved == 0


@pytest.mark.parametrize("found", ["xfs", "ext4", "LVM2_member"])
def test_a_volume_with_a_file_system_is_never_formatted(tmp_path: Path, found: str) -> None:
    made = machine(tmp_path, "log-server")
    made.disks[DATA] = Disk(file_system=found, file_system_size=BLANK_BYTES)

    if found == "ext4":
        install(made.host)
    else:
        with pytest.raises(InstallError, match=f"^volumes formatted: {DATA} contains {found}, and is left as it is$"):
            install(made.host)

    assert made.disks[DATA].formatted == 0


@pytest.mark.parametrize("at", [0, 4096, BLANK_BYTES - 1])
def test_a_volume_with_data_that_blkid_does_not_know_is_never_formatted(tmp_path: Path, at: int) -> None:
    made = machine(tmp_path, "log-server")
    made.attach_volume(VolumeId=DATA, InstanceId=INSTANCE)
    with (tmp_path / "dev/nvme1n1").open("r+b") as device:
        device.seek(at)
        device.write(b"\1")

    with pytest.raises(InstallError, match="contains something, and is left as it is"):
        install(made.host)

    assert made.disks[DATA].formatted == 0


def test_volumes_are_known_by_their_ids_in_whatever_order_linux_finds_them(tmp_path: Path) -> None:
    made = machine(tmp_path)
    made.disks = {DATA: Disk("ext4", file_system_size=BLANK_BYTES), AUDIT: Disk()}

    install(made.host)

    lines = (tmp_path / "etc/fstab").read_text().splitlines()
    assert [line.split()[:3] for line in lines[:2]] == [
        ["UUID=uuid-of-nvme1n1", "/var/lib/vault", "ext4"],
        ["UUID=uuid-of-nvme2n1", "/var/log/vault", "ext4"],
    ]
    assert (made.disks[DATA].formatted, made.disks[AUDIT].formatted) == (0, 1)


def test_what_the_image_has_in_fstab_stays(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/fstab").write_text("LABEL=cloudimg-rootfs / ext4 discard 0 1\n")

    install(machine(tmp_path, "log-server").host)

    assert (tmp_path / "etc/fstab").read_text().startswith("LABEL=cloudimg-rootfs / ext4 discard 0 1\nUUID=")


def test_a_file_system_is_enlarged_to_its_volume_while_it_is_in_use(tmp_path: Path) -> None:
    made = machine(tmp_path, "log-server")
    install(made.host)
    made.disks[DATA].size *= 2

    install(made.host)

    assert made.disks[DATA].file_system_size == 2 * BLANK_BYTES
    assert made.restarts == 1


def test_a_release_with_another_digest_is_not_installed(tmp_path: Path) -> None:
    made = machine(tmp_path, releases={release_url("vault", "2.0.3").rpartition("/")[2]: release("vault") + b"x"})

    with pytest.raises(InstallError, match=r"^server: .* and not the one in the settings$"):
        install(made.host)

    assert not (tmp_path / "usr/local/bin/vault").exists()


def test_packages_come_from_one_snapshot_of_the_archive_over_tls(tmp_path: Path) -> None:
    install(machine(tmp_path, "log-server").host)

    sources = (tmp_path / "etc/apt/sources.list.d/ubuntu.sources").read_text()
    assert "URIs: https://snapshot.ubuntu.com/ubuntu/20261001T000000Z/\n" in sources
    assert "{{" not in sources


def test_a_failed_step_is_tried_again_before_the_host_says_that_it_has_failed(tmp_path: Path) -> None:
    made = machine(tmp_path, "log-server", failing="apt-get install")

    for uptime in (60, FAILED_AFTER_SECONDS):
        with pytest.raises(InstallError, match=r"^packages: apt-get: exit status 1: zstd$"):
            boot(made.host, uptime)
    assert made.signals == []
    for uptime in (FAILED_AFTER_SECONDS + 1, FAILED_AFTER_SECONDS + 30):
        with pytest.raises(InstallError):
            boot(made.host, uptime)
    assert made.signals == [("FAILURE", f"{INSTANCE} packages: apt-get: exit status 1: zstd"[:64])]
    made.failing = ""
    boot(made.host, 3600)
    assert made.signals[1:] == [("SUCCESS", INSTANCE)]


def test_a_host_whose_signal_was_not_sent_is_not_done_before_the_next_run_sends_it(tmp_path: Path) -> None:
    made = machine(tmp_path, "log-server", has_credentials=False)
    with pytest.raises(InstallError, match=r"^the signal that the host is ready was not sent$"):
        boot(made.host, uptime_seconds=60)
    made.has_credentials = True

    boot(made.host, uptime_seconds=75)

    assert made.signals == [("SUCCESS", INSTANCE)]


@pytest.mark.parametrize(
    ("status", "said"), [(501, "is not initialised"), (503, "is sealed"), (500, "answers with status 500")]
)
def test_a_node_is_not_ready_before_vault_is(tmp_path: Path, status: int, said: str) -> None:
    made = machine(tmp_path, vault_status=status)

    with pytest.raises(InstallError, match=f"^ready: Vault {said}$"):
        boot(made.host, uptime_seconds=60)

    assert made.signals == []


def test_a_node_waits_while_its_new_cluster_is_initialised(tmp_path: Path) -> None:
    made = machine(tmp_path, vault_status=501, ready_after=3)

    boot(made.host, uptime_seconds=60)

    assert made.signals == [("SUCCESS", INSTANCE)]
    assert made.calls.count("sleep 5") == 3


FULL, EMPTY = (os.statvfs_result((4096, 4096, 1000, free, free, 0, 0, 0, 0, 255)) for free in (50, 1000))
STATISTICS = """SourceName;SourceId;SourceInstance;State;Type;Number
dst.network;d_vaultwatch_socket#0;tls,log-server:1515;a;dropped;7
dst.network;d_vaultwatch_file#0;tls,log-server:1516;a;dropped;0
dst.network;d_vaultwatch_server#0;tls,log-server:1514;a;dropped;2
dst.network;d_vaultwatch_server#0;tls,log-server:1514;a;processed;99
dst.network;d_vaultwatch_socket#0;tls,log-server:1515;a;queued;12
dst.file;d_syslog#0;/var/log/syslog;a;dropped;5
dst.file;d_syslog#0;/var/log/syslog;a;queued;4
"""


# As OpenBao 2.6.2 writes it.
TELEMETRY = """# HELP vault_audit_log_request_failure vault_audit_log_request_failure
# TYPE vault_audit_log_request_failure counter
vault_audit_log_request_failure 2
vault_audit_log_request{quantile="0.99"} NaN
vault_audit_log_request_sum 300
vault_audit_log_request_count 6
vault_audit_log_response_sum 100
vault_audit_log_response_count 4
vault_audit_log_response_failure 3
vault_audit_log_response_failure_unknown 7
vault_core_leadership_lost{quantile="0.5"} 20803.197265625
vault_core_leadership_lost_sum 20803.197265625
vault_core_leadership_lost_count 1
vault_expire_num_leases 42
"""


class TestFigures:
    @pytest.fixture
    def ready(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
        made = machine(tmp_path)
        boot(made.host, uptime_seconds=60)
        made.statistics = STATISTICS
        monkeypatch.setattr(os, "statvfs", lambda path: FULL if path == tmp_path / "var/log/vault" else EMPTY)
        return made

    def test_a_node_reports_its_disks_files_clock_dropped_lines_and_what_its_vault_says(self, ready: Machine) -> None:
        ready.telemetry = TELEMETRY
        for name in ("audit.log-20261128-101500", "audit.log-20261128-111500", "audit.log-20261128-111500.archived"):
            (ready.root / "var/log/vault" / name).touch()
        (ready.root / "var/log/vault/audit.log").touch()
        report_ready(ready.host)
        assert ready.reported == {
            "HostReady": 1.0,
            "HostDiskUsed": 95.0,
            "HostDroppedLines": 9.0,
            "HostQueuedLines": 12.0,
            "HostMemoryUsed": 75.0,
            "HostFilesWaiting": 1,
            "HostClockError": pytest.approx(0.000102),
            "VaultSealed": 0.0,
            "VaultAuditFailures": 5.0,
            "VaultAuditSeconds": 0.04,
            "VaultLeadershipLost": 1.0,
            "VaultLeases": 42.0,
            "VaultActiveNode": 1.0,
        }
        assert ready.of_cluster == {"VaultLeases", "VaultActiveNode"}

    def test_a_counter_of_vault_is_reported_once_also_after_a_report_that_failed(self, ready: Machine) -> None:
        ready.telemetry = TELEMETRY
        ready.failing = "put metrics"
        with pytest.raises(InstallError):
            report_ready(ready.host)
        ready.failing = ""
        found = []
        for text in (TELEMETRY, TELEMETRY, TELEMETRY.replace("failure 2", "failure 6"), "a_restarted_vault 1\n"):
            ready.telemetry = text
            report_ready(ready.host)
            found.append(ready.reported["VaultAuditFailures"])
        assert found == [5.0, 0.0, 4.0, 0.0]

    def test_how_long_requests_wait_for_the_audit_devices_is_the_mean_since_the_last_report(
        self, ready: Machine
    ) -> None:
        later = TELEMETRY.replace("_sum 300", "_sum 1500").replace("_count 6", "_count 10")
        for text, seconds in ((TELEMETRY, 0.04), (later, 0.3)):
            ready.telemetry = text
            report_ready(ready.host)
            assert ready.reported.pop("VaultAuditSeconds") == pytest.approx(seconds)
        report_ready(ready.host)
        assert "VaultAuditSeconds" not in ready.reported, "nothing was logged"

    @pytest.mark.parametrize(("status", "calls"), [(200, 1), (429, 0), (503, 0)])
    def test_the_active_node_makes_the_call_of_the_canary(self, ready: Machine, status: int, calls: int) -> None:
        ready.vault_status = status
        with suppress(InstallError):
            report_ready(ready.host)
        assert ready.calls.count("canary call") == calls

    def test_a_canary_that_vault_refuses_is_logged_and_the_host_stays_ready(
        self, ready: Machine, caplog: pytest.LogCaptureFixture
    ) -> None:
        ready.failing = "canary"
        report_ready(ready.host)
        assert ready.reported["HostReady"] == 1.0
        assert caplog.messages == ["canary: exit status 1: call"]

    @pytest.mark.parametrize(("status", "sealed", "of_cluster"), [(503, 1.0, set()), (429, 0.0, set())])
    def test_only_the_active_node_speaks_for_the_cluster_and_a_sealed_one_says_so(
        self, ready: Machine, status: int, sealed: float, of_cluster: set[str]
    ) -> None:
        ready.vault_status = status
        with suppress(InstallError):
            report_ready(ready.host)
        assert (ready.reported["VaultSealed"], ready.of_cluster) == (sealed, of_cluster)

    def test_a_node_whose_telemetry_cannot_be_read_is_not_ready(self, ready: Machine) -> None:
        ready.failing = "telemetry"
        with pytest.raises(InstallError, match=r"^telemetry: exit status 1"):
            report_ready(ready.host)
        assert "HostReady" not in ready.reported

    def test_a_clock_without_a_source_of_time_may_be_wrong_by_more_than_a_second(self, ready: Machine) -> None:
        ready.tracking = (
            f"00000000,,0{',0.000000000' * 4},0.000,0.000,0.000,1.000000000,1.000000000,0.0,Not synchronised\n"
        )
        report_ready(ready.host)
        assert ready.reported["HostClockError"] == 1.5

    def test_a_host_with_a_failed_unit_of_ours_is_not_ready_and_reports_its_disks(self, ready: Machine) -> None:
        ready.failed = "vaultwatch-archive.service loaded failed failed Uploads rotated logs to the archive\n"
        with pytest.raises(InstallError, match=r"^vaultwatch-archive\.service has failed$"):
            report_ready(ready.host)
        assert {"HostDiskUsed", "HostDroppedLines"} < ready.reported.keys()
        assert "HostReady" not in ready.reported

    def test_without_syslog_ng_only_the_disks_are_known(self, ready: Machine) -> None:
        ready.failing = "syslog-ng-ctl"
        ready.active.remove("syslog-ng.service")
        with pytest.raises(InstallError, match=r"^syslog-ng\.service is not active$"):
            report_ready(ready.host)
        assert "HostDiskUsed" in ready.reported
        assert not {"HostReady", "HostDroppedLines"} & ready.reported.keys()
