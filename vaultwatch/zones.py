"""Time zones by their IANA names."""

from __future__ import annotations

from datetime import UTC, tzinfo

from vaultwatch.errors import SettingError
from vaultwatch.printable import one_line


def find_zone(name: str, setting: str) -> tzinfo:
    """Return the time zone of this name.

    Args:
        name: An IANA name such as `Europe/Berlin`.
        setting: The user's name for the value (`--timezone`, `vaultwatch.timezone`), with which the error begins.

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
    """Check that every machine knows this time zone, and not only this one.

    Debian, for example, lists `localtime`, which is the zone of the machine that looks it up.

    Raises:
        SettingError: The zone is unknown, or known only here.
    """
    from zoneinfo import available_timezones

    if name not in available_timezones() - {"localtime"}:
        raise _unknown_zone(name, setting)


def _unknown_zone(name: str, setting: str) -> SettingError:
    return SettingError(f"{setting}: there is no time zone `{one_line(name, 100)}`")
