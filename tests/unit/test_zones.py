"""Time zones by name: what is found, and how the error names the setting."""

from __future__ import annotations

import pytest

from vaultwatch.errors import SettingError
from vaultwatch.zones import check_portable_zone, find_zone


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/New_York"])
def test_a_zone_is_found_by_its_iana_name(name: str) -> None:
    assert str(find_zone(name, "--timezone")) == name
    check_portable_zone(name, "--timezone")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Mars/Base", "Mars/Base"),
        ("", ""),
        ("../../etc/passwd", "../../etc/passwd"),
        ("a\0b", r"a\u0000b"),
        ("\ud800", r"\ud800"),
        ("x" * 5000, "x" * 99 + "…"),
    ],
)
def test_an_unknown_zone_is_an_error_that_begins_with_the_setting(name: str, shown: str) -> None:
    for look_up in (find_zone, check_portable_zone):
        with pytest.raises(SettingError) as raised:
            look_up(name, "--timezone")
        assert str(raised.value) == f"--timezone: there is no time zone `{shown}`"


def test_a_zone_that_differs_between_machines_is_not_portable() -> None:
    with pytest.raises(SettingError, match=r"^vaultwatch\.timezone: there is no time zone `localtime`$"):
        check_portable_zone("localtime", "vaultwatch.timezone")
