"""What a deployment may change: one typed object, one home for every default.

The settings stand in `cdk.json` under the context key `vaultwatch`. `docs/settings.md` is made from this module:
`python -m vaultwatch.settings > docs/settings.md`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from vaultwatch.errors import SettingError, did_you_mean
from vaultwatch.rules.facts import Level
from vaultwatch.zones import check_portable_zone

# CloudWatch Logs takes these and no others (API reference, PutRetentionPolicy).
LogDays = Literal[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653
]
# As the HTML standard has it (`<input type=email>`), with a dot in the domain.
_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_ADDRESS = re.compile(rf"[a-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL}(\.{_LABEL})+", re.ASCII | re.IGNORECASE)
_MAX_DAYS = 36_500  # a hundred years, the longest that Object Lock takes


def _key(unit: str, meaning: str, **bounds: Any) -> Meta:
    return Meta(description=meaning, extra={"unit": unit}, **bounds)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting of a deployment, with its default."""

    deployment: Annotated[
        str,
        _key(
            "name",
            "begins the names of the stacks and tags what they make; a-z, 0-9 and -, at most 30",
            pattern=r"^[a-z][a-z0-9-]{0,29}\Z",
        ),
    ] = "vaultwatch"
    alert_emails: Annotated[
        tuple[str, ...], _key("addresses", "get alerts by e-mail; each has to confirm once", max_length=50)
    ] = ()
    alert_email_level: Annotated[Level, _key("level", "the least important alerts that e-mail tells")] = Level.LOW
    slack: Annotated[bool, _key("true or false", "tell alerts in Slack; the webhook is put into its secret later")] = (
        True
    )
    slack_level: Annotated[Level, _key("level", "the least important alerts that Slack tells")] = Level.LOW
    operations_emails: Annotated[
        tuple[str, ...],
        _key("addresses", "hear when Vaultwatch itself is in trouble; each has to confirm once", max_length=50),
    ] = ()
    timezone: Annotated[str, _key("IANA name", "in which rules see `local.hour` and `local.weekday`")] = "UTC"
    alert_memory_days: Annotated[
        int, _key("days", "for which an alert is remembered, so that it is not told twice", ge=8, le=3650)
    ] = 90
    stream_shards: Annotated[
        int, _key("shards", "of the stream; each takes 1 MiB of frames a second, about 7 MiB of log", ge=1, le=500)
    ] = 1
    stream_retention_days: Annotated[
        int, _key("days", "for which frames can be read again; evaluation gives up after one", ge=2, le=365)
    ] = 7
    archive_infrequent_access_days: Annotated[
        int,
        _key("days", "after which segments move to STANDARD_IA, which S3 allows from the 30th on", ge=30, le=_MAX_DAYS),
    ] = 30
    archive_glacier_days: Annotated[
        int, _key("days", "after which they move to GLACIER, at least 30 after STANDARD_IA", ge=60, le=_MAX_DAYS)
    ] = 90
    archive_retention_days: Annotated[
        int, _key("days", "for which Object Lock (governance) keeps anybody from deleting them", ge=1, le=_MAX_DAYS)
    ] = 365
    archive_expiry_days: Annotated[
        int, _key("days", "after which they are deleted: not before their retention ends", ge=61, le=_MAX_DAYS)
    ] = 400
    log_retention_days: Annotated[LogDays, _key("days", "for which the functions' own logs are kept")] = 30
    evaluate_memory_mib: Annotated[
        int, _key("MiB", "of memory for `evaluate`; CPU grows with it, 1,769 is one core", ge=256, le=10240)
    ] = 1024
    sweep_memory_mib: Annotated[
        int, _key("MiB", "of memory for `sweep`, which reads whole segments", ge=256, le=10240)
    ] = 1769
    sweep_concurrency: Annotated[int, _key("functions", "that sweep the archive at a time", ge=2, le=1000)] = 2
    lambda_python: Annotated[
        Literal["3.11", "3.12", "3.13", "3.14"], _key("version", "of Python that the functions run on")
    ] = "3.14"
    lambda_architecture: Annotated[
        Literal["arm64", "x86_64"], _key("architecture", "of the processors that the functions run on")
    ] = "arm64"

    def __post_init__(self) -> None:
        # msgspec makes a ValidationError of it, and leaves the text as it is.
        if wrong := next(_contradictions(self), None):
            raise ValueError(wrong)


def read_settings(context: object) -> Settings:
    """The settings in `cdk.json`'s context key `vaultwatch`; the defaults where it has none.

    Raises `SettingError`, with the key's name, for a wrong value and for a key that is none.
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
    """`docs/settings.md`: each key with its default, unit and meaning."""
    rows = [
        "# Settings",
        "",
        "They stand in `cdk.json` under the context key `vaultwatch`; a key that is not there has its default.",
        "A wrong value or an unknown key stops `cdk synth`. This page is made from `vaultwatch/settings.py`.",
        "",
        "| key | default | unit | meaning |",
        "|---|---|---|---|",
    ]
    hints = get_type_hints(Settings, include_extras=True)
    for field in msgspec.structs.fields(Settings):
        hint = hints[field.name]
        meta = next(part for part in hint.__metadata__ if isinstance(part, Meta))
        unit = (meta.extra or {})["unit"]
        default = msgspec.json.encode(field.default).decode()
        rows.append(f"| `{field.name}` | `{default}` | {unit}{_allowed(hint.__origin__, meta)} | {meta.description} |")
    return "\n".join(rows) + "\n"


def _contradictions(settings: Settings) -> Iterator[str]:
    for key in ("alert_emails", "operations_emails"):
        yield from _wrong_addresses(key, getattr(settings, key))
    try:
        check_portable_zone(settings.timezone, "vaultwatch.timezone")
    except SettingError as error:
        yield str(error)
    if settings.archive_glacier_days < settings.archive_infrequent_access_days + 30:
        yield "vaultwatch.archive_glacier_days: must be at least 30 more than archive_infrequent_access_days"
    if settings.archive_expiry_days <= settings.archive_glacier_days:
        yield "vaultwatch.archive_expiry_days: must be more than archive_glacier_days"
    if settings.archive_expiry_days < settings.archive_retention_days:
        yield "vaultwatch.archive_expiry_days: must not be less than archive_retention_days"


def _wrong_addresses(key: str, addresses: tuple[str, ...]) -> Iterator[str]:
    seen = set()
    for place, address in enumerate(addresses):
        if not _ADDRESS.fullmatch(address) or len(address) > 254:
            yield f"vaultwatch.{key}[{place}]: `{address}` is no e-mail address"
        if address.lower() in seen:
            yield f"vaultwatch.{key}[{place}]: `{address}` is there twice"
        seen.add(address.lower())


def _one_line(error: str) -> str:
    """msgspec's text ends in the path of the value, as `` - at `$.key` ``; ours begins with the key."""
    text, _, path = error.partition(" - at `$")
    return f"vaultwatch{path.rstrip('`')}: {text[0].lower()}{text[1:]}" if path.startswith(".") else text


def _allowed(kind: Any, meta: Meta) -> str:
    if meta.ge is not None:
        return f", {meta.ge} to {meta.le}"
    choices = list(kind) if kind is Level else get_args(kind) if get_origin(kind) is Literal else ()
    return ": " + ", ".join(str(choice) for choice in choices) if choices else ""


if __name__ == "__main__":
    sys.stdout.write(settings_table())
