"""Time zones by their IANA names."""

from __future__ import annotations

from datetime import UTC, tzinfo

from vaultwatch.errors import SettingError
from vaultwatch.printable import one_line


def find_zone(name: str, setting: str) -> tzinfo:
    """Return the time zone of this name.

    Args:
        name: An IANA name such as `Europe/Berlin`.
        setting: What the user knows the value by (`--timezone`, `vaultwatch.timezone`); the error begins with it.

    Raises:
        SettingError: This machine has no such time zone.
    """
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _unknown_zone(name, setting) from None


def check_portable_zone(name: str, setting: str) -> None:
    """Check that this is a time zone on every machine, not only on this one.

    Debian, for example, lists `localtime`, which is the zone of whatever machine looks it up.

    Raises:
        SettingError: It is not.
    """
    from zoneinfo import available_timezones

    if name not in available_timezones() - {"localtime"}:
        raise _unknown_zone(name, setting)


def _unknown_zone(name: str, setting: str) -> SettingError:
    return SettingError(f"{setting}: there is no time zone `{one_line(name, 100)}`")
