"""What every syslog-ng file must say, because syslog-ng's defaults lose lines: each of these was measured.

tests/integration/test_lanes.py shows the effects with the real program.
"""

import re

import pytest

from testbed.host_values import ASSETS

MAX_MESSAGE_BYTES = 100_663_296
FILES = sorted((ASSETS / "syslog-ng").rglob("*.conf"))


def drivers(text: str, name: str) -> list[str]:
    """Return each call of a driver with all its options, without comments."""
    text = re.sub(r"(?m)(^|\s)#.*$", "", text)
    found = []
    for match in re.finditer(rf"(?<![\w-]){name}\(", text):
        depth, at = 1, match.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            at += 1
        found.append(text[match.start() : at])
    return found


@pytest.fixture(params=FILES, ids=lambda path: path.name)
def text(request: pytest.FixtureRequest) -> str:
    return str(request.param.read_text())


def log_paths(file: str) -> list[str]:
    """Return what each `log { }` of a file contains."""
    text = (ASSETS / "syslog-ng" / file).read_text()
    return re.findall(r"(?ms)^log \{(.*?)\};$", text)


def of_all_files(name: str) -> list[str]:
    return [driver for file in FILES for driver in drivers(file.read_text(), name)]


def test_tls_1_3_is_off_because_a_client_whose_certificate_is_refused_would_lose_what_it_sends() -> None:
    found = of_all_files("tls")
    assert len(found) == 2
    for driver in found:
        assert "ssl-options(no-sslv2, no-sslv3, no-tlsv1, no-tlsv11, no-tlsv13)" in driver
        assert "peer-verify(required-trusted)" in driver


def test_a_record_that_would_destroy_a_disk_buffer_is_never_accepted() -> None:
    """Longer than 100 MiB, it makes syslog-ng drop the whole queue; the default cuts lines at 64 KiB."""
    sources = [one for one in of_all_files("network") if "template(" not in one]
    tails = [one for one in of_all_files("file") if "follow-freq(" in one]
    assert (len(sources), len(tails)) == (4, 1)
    assert {f"log-msg-size({MAX_MESSAGE_BYTES})" in one for one in sources + tails} == {True}


def test_every_disk_buffer_is_reliable_and_holds_the_largest_record_in_memory() -> None:
    found = of_all_files("disk-buffer")
    assert len(found) == 5
    for driver in found:
        assert "reliable(yes)" in driver
        assert int(re.findall(r"mem-buf-size\((\d+)\)", driver)[0]) > MAX_MESSAGE_BYTES


def test_no_shell_is_between_syslog_ng_and_a_handler_and_a_reload_does_not_start_a_second_one() -> None:
    found = of_all_files("program")
    handlers = [one for one in found if "`vaultwatch-program`" in one]
    assert len(handlers) == 4
    assert {one.startswith('program("exec ') and "keep-alive(yes)" in one for one in handlers} == {True}


def test_every_lane_writes_marks_of_our_own_and_no_others() -> None:
    (lane,) = [one for one in of_all_files("network") if "template(" in one]
    assert "mark-mode(periodical) mark-freq(`vaultwatch-mark-seconds`)" in lane


def test_what_a_kernel_may_hold_is_bounded_where_tls_is_spoken() -> None:
    encrypted = [one for one in of_all_files("network") if "tls(" in one]
    assert len(encrypted) == 2
    assert [one for one in encrypted if not re.search(r"so-(rcv|snd)buf\(262144\)", one)] == []


@pytest.mark.parametrize(
    ("file", "source"), [("vaultwatch.conf", "s_vaultwatch_audit"), ("hosts/node.conf", "s_vaultwatch_socket")]
)
def test_nothing_that_reads_the_socket_device_has_flow_control(file: str, source: str) -> None:
    """Vault would wait, and with it all its clients."""
    reading = [path for path in log_paths(file) if f"source({source});" in path]
    assert reading
    assert [path for path in reading if "flow-control" in path] == []
    assert "so-rcvbuf(16777216)" in (ASSETS / "syslog-ng" / file).read_text()


@pytest.mark.parametrize("source", ["s_vaultwatch_file", "s_src"])
def test_what_can_wait_has_flow_control(source: str) -> None:
    paths = log_paths("hosts/node.conf")
    assert ["flow-control" in path for path in paths if f"source({source});" in path] == [True]


def test_handlers_have_log_paths_of_their_own() -> None:
    """One that does not read would keep syslog-ng from writing the files."""
    paths = log_paths("hosts/log-server.conf")
    handlers = [path for path in paths if "_handler);" in path]
    files = [path for path in paths if re.search(r"destination\(d_\w+_file\);", path)]
    assert (len(handlers), len(files), len(paths)) == (2, 2, 4)
    assert ["flow-control" in path for path in handlers + files] == [False, False, True, True]


def test_every_file_names_the_format_that_all_versions_read(text: str) -> None:
    assert set(re.findall(r"^@version: (\S+)", text, re.MULTILINE)) <= {"3.38"}
    for newer in ("capacity-bytes", "flow-control-window", "front-cache-size", "prealloc"):
        assert newer not in text


@pytest.mark.parametrize(
    ("settings", "files"),
    [
        ("hosts/log-server-settings.conf", ["hosts/log-server.conf", "vaultwatch-ship.conf", "vaultwatch-watch.conf"]),
        ("hosts/node-settings.conf", ["hosts/node.conf"]),
        ("vaultwatch-settings.conf", [path.name for path in FILES if path.parent.name != "hosts"]),
    ],
)
def test_settings_define_every_name_that_is_used_with_them(settings: str, files: list[str]) -> None:
    """syslog-ng replaces an undefined name with nothing, without a warning."""
    defined, *used = [(ASSETS / "syslog-ng" / file).read_text() for file in (settings, *files)]
    names = set(re.findall(r"`(vaultwatch-[a-z-]+)`", "".join(used)))
    assert names
    assert names <= set(re.findall(r"@define (vaultwatch-[a-z-]+)", defined))
