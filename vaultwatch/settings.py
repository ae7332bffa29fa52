"""The settings of a deployment: one typed object, which holds every default.

A deployment sets them in `cdk.json` under the context key `vaultwatch`. `docs/settings.md` is generated from this
module: `python -m vaultwatch.settings > docs/settings.md`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from vaultwatch.errors import SettingError, did_you_mean
from vaultwatch.host_settings import HostSettings, host_contradictions, setting
from vaultwatch.notify.slack.bot import checked_channel
from vaultwatch.rules.facts import Level
from vaultwatch.zones import check_portable_zone

# CloudWatch Logs accepts only these (API reference, PutRetentionPolicy).
LogDays = Literal[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653
]
# The pattern of the HTML standard (`<input type=email>`), with a dot in the domain.
_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_ADDRESS = re.compile(rf"[a-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL}(\.{_LABEL})+", re.ASCII | re.IGNORECASE)
_MAX_DAYS = 36_500  # a hundred years, the longest that Object Lock accepts


class Settings(HostSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting of a deployment, with its default."""

    deployment: Annotated[
        str,
        setting(
            "name",
            "Prefix of the stack and alarm names, and tag of all resources; a-z, 0-9 and -, at most 30 characters.",
            pattern=r"^[a-z][a-z0-9-]{0,29}\Z",
        ),
    ] = "vaultwatch"
    alert_emails: Annotated[
        tuple[str, ...],
        setting(
            "addresses",
            "Addresses notified of alerts by e-mail. Each must confirm its subscription once.",
            max_length=50,
        ),
    ] = ()
    alert_email_level: Annotated[Level, setting("level", "Lowest level of the alerts sent by e-mail.")] = Level.LOW
    slack: Annotated[
        bool,
        setting(
            "true or false",
            "Whether alerts are sent to Slack. Put its webhook URL or bot token into the secret after the deployment.",
        ),
    ] = False
    slack_channel: Annotated[
        str,
        setting("channel", "Id of a Slack channel. With it, the secret holds a bot token instead of a webhook URL."),
    ] = ""
    slack_level: Annotated[Level, setting("level", "Lowest level of the alerts sent to Slack.")] = Level.LOW
    operations_emails: Annotated[
        tuple[str, ...],
        setting(
            "addresses",
            "Addresses notified when Vaultwatch itself fails. Each must confirm its subscription once.",
            max_length=50,
        ),
    ] = ()
    timezone: Annotated[
        str,
        setting(
            "IANA name", "Time zone of `local.hour` and `local.weekday` in rules, and of the times in notifications."
        ),
    ] = "UTC"
    silenced_rules: Annotated[
        tuple[str, ...],
        setting(
            "names of rules",
            "Rules that may be silenced: `cdk synth` warns, and with `--strict` refuses, if files in `rules` filter, "
            "disable, stage or lower any other one, or leave out a shipped one.",
        ),
    ] = ()
    alert_memory_days: Annotated[
        int,
        setting("days", "How long an alert is remembered, so that it raises no second notification.", ge=8, le=3650),
    ] = 90
    stream_shards: Annotated[
        int,
        setting(
            "shards",
            "Shards of the stream. Each accepts 1 MiB of frames per second, about 7 MiB of log. A deployed stream can "
            "at most be doubled or halved at a time: to go from 1 to 8, deploy 2, 4 and 8.",
            ge=1,
            le=500,
        ),
    ] = 1
    stream_retention_days: Annotated[
        int,
        setting(
            "days", "How long the stream keeps frames. Lambda discards a frame that failed for one day.", ge=2, le=365
        ),
    ] = 7
    archive_infrequent_access_days: Annotated[
        int,
        setting("days", "Age at which segments move to STANDARD_IA. S3 requires at least 30.", ge=30, le=_MAX_DAYS),
    ] = 30
    archive_glacier_days: Annotated[
        int,
        setting(
            "days", "Age at which segments move to GLACIER, at least 30 days after STANDARD_IA.", ge=60, le=_MAX_DAYS
        ),
    ] = 90
    archive_retention_days: Annotated[
        int,
        setting("days", "How long Object Lock prevents the deletion of a new segment.", ge=1, le=_MAX_DAYS),
    ] = 365
    object_lock_mode: Annotated[
        Literal["GOVERNANCE", "COMPLIANCE"],
        setting(
            "mode",
            "Mode of Object Lock on new segments. With GOVERNANCE the bucket policy denies everybody the permission to "
            "bypass the lock; an administrator who may change the bucket policy can remove this denial and then delete "
            "segments, and CloudTrail records the change. With COMPLIANCE nobody can delete a segment or shorten its "
            "retention, not even the root user: a retention that was set too long ends only when its time is over or "
            "the account is closed. In both modes, anybody who may change the bucket's settings can end the protection "
            "of later segments, and anybody who may disable the key can make all segments unreadable.",
        ),
    ] = "GOVERNANCE"
    archive_expiry_days: Annotated[
        int, setting("days", "Age at which segments are deleted, not less than their retention.", ge=61, le=_MAX_DAYS)
    ] = 400
    log_retention_days: Annotated[LogDays, setting("days", "How long the logs of the functions are kept.")] = 30
    evaluate_memory_mib: Annotated[
        int,
        setting("MiB", "Memory of `evaluate`. Lambda gives CPU in proportion: one core at 1,769.", ge=256, le=10240),
    ] = 1024
    sweep_memory_mib: Annotated[
        int, setting("MiB", "Memory of `sweep`, which reads whole segments.", ge=256, le=10240)
    ] = 1769
    sweep_concurrency: Annotated[
        int,
        setting(
            "instances",
            "How many instances of `sweep` run at once, at most: for segments, and as many for parked frames.",
            ge=2,
            le=1000,
        ),
    ] = 2
    reconcile: Annotated[
        bool,
        setting(
            "true or false",
            "Whether the function `reconcile` compares, each hour, both copies of the same hour of the day before.",
        ),
    ] = True
    reconcile_memory_mib: Annotated[
        int,
        setting("MiB", "Memory of `reconcile`, which uses one core: it has that at 1,769.", ge=1024, le=10240),
    ] = 1769
    lambda_python: Annotated[
        Literal["3.11", "3.12", "3.13", "3.14"], setting("version", "Python version of the functions.")
    ] = "3.14"
    lambda_architecture: Annotated[
        Literal["arm64", "x86_64"], setting("architecture", "Processor architecture of the functions.")
    ] = "arm64"

    def __post_init__(self) -> None:
        # msgspec turns it into a ValidationError with the same text.
        if wrong := next(_contradictions(self), None):
            raise ValueError(wrong)


def read_settings(context: object) -> Settings:
    """Read the settings, with the default of each that is not set.

    Args:
        context: The value of the context key `vaultwatch` in `cdk.json`; None if it has no such key.

    Returns:
        The settings.

    Raises:
        SettingError: If a key is unknown, or its value is wrong; the text begins with the key.
    """
    given = {} if context is None else context
    if not isinstance(given, dict):
        raise SettingError("vaultwatch: must be an object of settings")
    for key in given:
        if key not in Settings.__struct_fields__:
            hint = did_you_mean(str(key), Settings.__struct_fields__)
            raise SettingError(f"vaultwatch.{key}: there is no such setting{hint}")
    try:
        return msgspec.convert(given, Settings)
    except msgspec.ValidationError as error:
        raise SettingError(_one_line(str(error))) from None


def settings_table() -> str:
    """Return the text of `docs/settings.md`: each key with its default, unit and meaning."""
    hosts = HostSettings.__struct_fields__
    others = [name for name in Settings.__struct_fields__ if name not in hosts]
    lines = [
        "# Settings",
        "",
        "Settings live in `cdk.json` under the context key `vaultwatch`; a key that is not set has its default.",
        "A wrong value or an unknown key stops `cdk synth`. This page is generated from `vaultwatch/settings.py` and",
        "`vaultwatch/host_settings.py`.",
        *_rows("Logs, alerts and notifications", others),
        *_rows("Network and hosts", hosts),
    ]
    return "\n".join(lines) + "\n"


def _rows(title: str, names: Iterable[str]) -> Iterator[str]:
    yield from ("", f"## {title}", "", "| key | default | unit | meaning |", "|---|---|---|---|")
    hints, defaults = get_type_hints(Settings, include_extras=True), Settings()
    for name in names:
        hint = hints[name]
        meta = next(part for part in hint.__metadata__ if isinstance(part, Meta))
        unit = (meta.extra or {})["unit"]
        default = msgspec.json.encode(getattr(defaults, name)).decode()
        yield f"| `{name}` | `{default}` | {unit}{_allowed(hint.__origin__, meta)} | {meta.description} |"


def _contradictions(settings: Settings) -> Iterator[str]:
    for key in ("alert_emails", "operations_emails"):
        yield from _wrong_addresses(key, getattr(settings, key))
    try:
        check_portable_zone(settings.timezone, "vaultwatch.timezone")
    except SettingError as error:
        yield str(error)
    if settings.slack_channel:
        yield from _wrong_channel(settings.slack_channel)
        if not settings.slack:
            yield "vaultwatch.slack_channel: has no effect unless slack is true"
    if settings.archive_glacier_days < settings.archive_infrequent_access_days + 30:
        yield "vaultwatch.archive_glacier_days: must be at least 30 more than archive_infrequent_access_days"
    if settings.archive_expiry_days <= settings.archive_glacier_days:
        yield "vaultwatch.archive_expiry_days: must be more than archive_glacier_days"
    if settings.archive_expiry_days < settings.archive_retention_days:
        yield "vaultwatch.archive_expiry_days: must not be less than archive_retention_days"
    yield from host_contradictions(settings)


def _wrong_channel(channel: str) -> Iterator[str]:
    try:
        checked_channel(channel)
    except SettingError as error:
        yield f"vaultwatch.slack_channel: `{channel}` {error}"


def _wrong_addresses(key: str, addresses: tuple[str, ...]) -> Iterator[str]:
    seen = set()
    for place, address in enumerate(addresses):
        if not _ADDRESS.fullmatch(address) or len(address) > 254:
            yield f"vaultwatch.{key}[{place}]: `{address}` is not an e-mail address"
        if address.lower() in seen:
            yield f"vaultwatch.{key}[{place}]: `{address}` is listed twice"
        seen.add(address.lower())


def _one_line(error: str) -> str:
    """Move the path of the value from the end of msgspec's text (`` - at `$.key` ``) to its beginning."""
    text, _, path = error.partition(" - at `$")
    return f"vaultwatch{path.rstrip('`')}: {text[0].lower()}{text[1:]}" if path.startswith(".") else text


def _allowed(kind: Any, meta: Meta) -> str:
    if meta.ge is not None:
        return f", {meta.ge} to {meta.le}"
    choices = list(kind) if kind is Level else get_args(kind) if get_origin(kind) is Literal else ()
    return ": " + ", ".join(str(choice) for choice in choices) if choices else ""


if __name__ == "__main__":
    sys.stdout.write(settings_table())
