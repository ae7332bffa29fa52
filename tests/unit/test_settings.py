"""Settings: what cdk.json may contain, and the errors about everything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vaultwatch.errors import SettingError
from vaultwatch.rules.facts import Level
from vaultwatch.settings import Settings, read_settings, settings_table

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("nothing", [None, {}])
def test_a_setting_that_is_not_set_has_its_default(nothing: object) -> None:
    settings = read_settings(nothing)

    assert settings == Settings()
    assert (settings.stream_shards, settings.alert_memory_days, settings.timezone) == (1, 90, "UTC")
    assert (settings.lambda_python, settings.lambda_architecture) == ("3.14", "arm64")


def test_a_setting_that_is_set_replaces_its_default() -> None:
    settings = read_settings({"alert_emails": ["ops@example.org"], "slack_level": "high", "stream_shards": 4})

    assert settings.alert_emails == ("ops@example.org",)
    assert settings.slack_level is Level.HIGH
    assert settings.stream_shards == 4


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"stream_shard": 2}, "vaultwatch.stream_shard: there is no such setting; did you mean `stream_shards`?"),
        ({"colour": "red"}, "vaultwatch.colour: there is no such setting"),
        ({"stream_shards": 0}, "vaultwatch.stream_shards: expected `int` >= 1"),
        ({"stream_shards": "2"}, "vaultwatch.stream_shards: expected `int`, got `str`"),
        ({"slack": "yes"}, "vaultwatch.slack: expected `bool`, got `str`"),
        (
            {"slack_channel": "two words"},
            "vaultwatch.slack_channel: `two words` is neither the id nor the name of a Slack channel",
        ),
        ({"slack_channel": "C0123456789"}, "vaultwatch.slack_channel: has no effect unless slack is true"),
        ({"slack_level": "loud"}, "vaultwatch.slack_level: invalid enum value 'loud'"),
        ({"log_retention_days": 8}, "vaultwatch.log_retention_days: invalid enum value 8"),
        ({"alert_emails": "ops@example.org"}, "vaultwatch.alert_emails: expected `array`, got `str`"),
        ({"lambda_python": "3.9"}, "vaultwatch.lambda_python: invalid enum value '3.9'"),
        ({"timezone": "Mars/Olympus"}, "vaultwatch.timezone: there is no time zone `Mars/Olympus`"),
        ({"timezone": "localtime"}, "vaultwatch.timezone: there is no time zone `localtime`"),
        (["slack"], "vaultwatch: must be an object of settings"),
        ({"vault_nodes": 2}, "vaultwatch.vault_nodes: invalid enum value 2"),
        ({"vault_sha256": "9423"}, "vaultwatch.vault_sha256: expected `str` matching regex '^[0-9a-f]{64}\\\\Z'"),
        (
            {"vault_instance_type": "m7i.large"},
            "vaultwatch.vault_instance_type: expected `str` matching regex "
            r"'^([a-z]+[0-9]+g[a-z]*)\\.[a-z0-9-]+\\Z'",
        ),
        ({"vpc_cidr": "10.0.0.1/16"}, "vaultwatch.vpc_cidr: `10.0.0.1/16` is not a range of IPv4 addresses"),
        ({"vpc_cidr": "8.8.0.0/16"}, "vaultwatch.vpc_cidr: `8.8.0.0/16` is not a private range"),
        ({"vpc_cidr": "10.0.0.0/28"}, "vaultwatch.vpc_cidr: must have a prefix of 16 to 24 bits"),
        ({"vpc_id": "vpc-0123456789abcdef0"}, "vaultwatch.vpc_subnets: vpc_id and vpc_subnets need each other"),
        (
            {"vpc_id": "vpc-0123456789abcdef0", "vpc_subnets": {"eu": "subnet-0123456789abcdef0"}},
            "vaultwatch.vpc_subnets: `eu: subnet-0123456789abcdef0` is not a zone and the id of a subnet",
        ),
        (
            {"vpc_id": "vpc-0123456789abcdef0", "vpc_subnets": {"eu-central-1a": "subnet-0123456789abcdef0"}},
            "vaultwatch.vault_clients: must name the clients of Vault in the VPC of vpc_id",
        ),
        (
            {"audit_buffer_gib": 40},
            "vaultwatch.vault_audit_gib: must be twice audit_buffer_gib and server_buffer_gib together, or more",
        ),
        ({"vault_clients": ["10.0.0.0/8", "10.0.0.0/8"]}, "vaultwatch.vault_clients: `10.0.0.0/8` is listed twice"),
        ({"zones": ["eu-central-1a"]}, "vaultwatch.zones: must name 2 different zones"),
        ({"zones": ["a", "b"]}, "vaultwatch.zones: `a` is not the name of a zone"),
        ({"external_nodes": {"a": "A"}}, "vaultwatch.external_nodes: has no effect unless vault is external"),
        (
            {"vault": "external", "external_nodes": {"a/b": "A"}},
            "vaultwatch.external_nodes: `a/b` is not the name of a node (a-z, 0-9 and -)",
        ),
        (
            {"vault": "external", "external_nodes": {"log-server": "A"}},
            "vaultwatch.external_nodes: `log-server` is not the name of a node (a-z, 0-9 and -)",
        ),
        (
            {"vault": "external", "external_nodes": {"a": "Role", "b": "Role"}},
            "vaultwatch.external_nodes: each node needs a role of its own, because the role proves which node it is",
        ),
        (
            {"vault": "external", "external_nodes": {"a": "arn:aws:iam::1:role/x"}},
            "vaultwatch.external_nodes: `arn:aws:iam::1:role/x` is not the name of an IAM role",
        ),
        (
            {"log_server": "external"},
            "vaultwatch.log_server: nodes that are deployed need the log server that is deployed",
        ),
    ],
)
def test_a_wrong_or_unknown_key_is_named_in_one_line(given: Any, said: str) -> None:
    with pytest.raises(SettingError) as caught:
        read_settings(given)

    assert str(caught.value) == said


@pytest.mark.parametrize(
    "address",
    [
        *("", "ops", "ops@example", "a b@example.org", "ops@example.org\n", "a@example..org", "a@example.org."),
        *("a@-example.org", "<a@example.org>", "mailto:a@example.org", "a@example.org,b@example.org"),
        *("\u200ba@example.org", "ü@example.org", "a@exämple.org", "a\0b@example.org", "a" * 65 + "@example.org"),
        *("{{resolve:ssm:/address}}@example.org", "${Token[TOKEN.1]}@example.org"),
    ],
)
@pytest.mark.parametrize("key", ["alert_emails", "operations_emails"])
def test_an_invalid_address_is_refused(key: str, address: str) -> None:
    with pytest.raises(SettingError) as caught:
        read_settings({key: ["ops@example.org", address]})

    assert str(caught.value) == f"vaultwatch.{key}[1]: `{address}` is not an e-mail address"


@pytest.mark.parametrize("address", ["o'hara+vault@mail.example.org", "a/b=c@x--y.example", "1@2.org"])
def test_an_address_may_be_unusual(address: str) -> None:
    assert read_settings({"alert_emails": [address]}).alert_emails == (address,)


def test_an_address_may_be_listed_once_only() -> None:
    with pytest.raises(SettingError) as caught:
        read_settings({"alert_emails": ["ops@example.org", "a@example.org", "Ops@Example.org"]})

    assert str(caught.value) == "vaultwatch.alert_emails[2]: `Ops@Example.org` is listed twice"


@pytest.mark.parametrize("name", ["", "Vault", "9lives", "a_b", "x" * 31, "a\n"])
def test_the_name_of_a_deployment_must_be_valid_in_stack_names(name: str) -> None:
    with pytest.raises(SettingError, match=r"^vaultwatch\.deployment: "):
        read_settings({"deployment": name})


@pytest.mark.parametrize(
    ("days", "key"),
    [
        ({"archive_expiry_days": 364}, "archive_expiry_days"),
        ({"archive_retention_days": 401}, "archive_expiry_days"),
        ({"archive_retention_days": 1, "archive_expiry_days": 90}, "archive_expiry_days"),
        ({"archive_infrequent_access_days": 29}, "archive_infrequent_access_days"),
        ({"archive_infrequent_access_days": 61}, "archive_glacier_days"),
    ],
)
def test_segments_neither_expire_before_their_retention_nor_move_faster_than_s3_allows(
    days: dict[str, int], key: str
) -> None:
    with pytest.raises(SettingError, match=rf"^vaultwatch\.{key}: "):
        read_settings(days)


DAY_COUNTS = [name for name in Settings.__struct_fields__ if name.startswith("archive_")]


@pytest.mark.parametrize("key", DAY_COUNTS)
def test_a_number_of_days_is_one_that_s3_accepts(key: str) -> None:
    century = dict.fromkeys(DAY_COUNTS, 36500) | {key: 36_501}

    with pytest.raises(SettingError) as caught:
        read_settings(century)

    assert str(caught.value) == f"vaultwatch.{key}: expected `int` <= 36500"


def test_segments_may_expire_on_the_day_their_retention_ends() -> None:
    assert read_settings({"archive_expiry_days": 365}).archive_expiry_days == 365


def test_every_setting_has_a_unit_and_a_meaning_in_the_table() -> None:
    rows = [line.split(" | ") for line in settings_table().splitlines() if line.startswith("| `")]

    assert sorted(row[0].strip("| `") for row in rows) == sorted(Settings.__struct_fields__)
    assert all(cell.strip(" |") for row in rows for cell in row)
    assert all(len(row) == 4 for row in rows)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("slack_level", "level: informational, low, medium, high, critical"),
        ("lambda_architecture", "architecture: arm64, x86_64"),
        ("stream_shards", "shards, 1 to 500"),
        ("timezone", "IANA name"),
    ],
)
def test_the_table_shows_the_values_that_a_setting_accepts(key: str, said: str) -> None:
    [row] = [line for line in settings_table().splitlines() if line.startswith(f"| `{key}`")]

    assert row.split(" | ")[2] == said


def test_the_settings_page_is_up_to_date() -> None:
    assert (ROOT / "docs/settings.md").read_text() == settings_table(), (
        "python -m vaultwatch.settings > docs/settings.md"
    )
