"""A function starts with few imports, and fails at the start without its settings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from lambdas._environment import read_environment
from vaultwatch.errors import SettingError

VARIABLES = {
    "ACCOUNT_ID": "123456789012",
    "AUTHORITY_KEY": "arn",
    "AUTHORITY_NAME": "Vaultwatch",
    "AUTHORITY_PARAMETER": "/vaultwatch/authority",
    "AWS_REGION": "eu-west-1",
    "DOMAIN": "vaultwatch.internal",
    "HOSTS": "{}",
    "PARTITION": "aws",
    "ALERT_MEMORY_DAYS": "90",
    "ARCHIVE_BUCKET_NAME": "archive",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "BUCKET_NAME": "alerts",
    "ROW_SEAL_KEY": "of at least 32 characters, like this one",
    "SLACK_SECRET_ARN": "arn",
    "HISTORY_STREAM_NAME": "none",
    "MAIL_KEY": "of at least 32 characters, like that one",
    "STREAM_ARN": "arn",
    "TABLE_NAME": "table",
    "TIMEZONE": "UTC",
    "TOPIC_ARN": "arn",
}
ROOT = Path(__file__).parents[3]
FUNCTIONS = ("evaluate", "notify", "digest", "sweep", "reconcile", "sign")
HEAVY = ("pydantic", "requests", "aws_xray_sdk", "sigma", "asyncio", "yaml", "click", "boto3", "s3transfer", "aws_cdk")


def start(name: str, environment: dict[str, str], then: str = "") -> subprocess.CompletedProcess[str]:
    """Import a function in a process of its own."""
    program = f"import lambdas.{name}\n{then}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=ROOT, env=kept | environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_imports_nothing_heavy(name: str) -> None:
    done = start(name, VARIABLES, f"import sys\nprint(*[heavy for heavy in {HEAVY!r} if heavy in sys.modules])")
    assert (done.stdout.strip(), done.stderr) == ("", "")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_only_sign_imports_the_library_for_certificates_which_the_other_bundle_does_not_have(name: str) -> None:
    done = start(name, VARIABLES, "import sys\nprint('cryptography' in sys.modules)")
    assert (done.stdout.strip(), done.stderr) == (str(name == "sign"), "")


def test_evaluate_imports_later_what_its_start_does_not_need() -> None:
    later = ["aws_lambda_powertools", "typing_extensions", "vaultwatch.notify", "vaultwatch.settings"]
    later += ["vaultwatch.reading.server_log", "vaultwatch.store"]
    done = start("evaluate", VARIABLES, f"import sys\nprint(*[name for name in {later!r} if name in sys.modules])")
    assert (done.stdout.strip(), done.stderr) == ("", "")


@pytest.mark.parametrize("before", ["", "import typing_extensions\n"])
def test_typing_extensions_is_hidden_from_msgspec_only(before: str) -> None:
    program = f"{before}import lambdas, typing_extensions, msgspec\nprint(typing_extensions.NotRequired.__name__)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("NotRequired\n", "")


@pytest.mark.parametrize(
    ("name", "missing"), [("evaluate", "TABLE_NAME"), ("notify", "SLACK_SECRET_ARN"), ("sign", "HOSTS")]
)
def test_a_missing_variable_fails_the_start_with_its_name(name: str, missing: str) -> None:
    done = start(name, {key: value for key, value in VARIABLES.items() if key != missing})
    assert done.returncode == 1
    assert done.stderr.endswith(f"SettingError: the environment variable {missing} is not set\n")


class Some(msgspec.Struct, frozen=True):
    table_name: str
    alert_memory_days: int


def test_settings_are_typed() -> None:
    assert read_environment(Some, {"TABLE_NAME": "t", "ALERT_MEMORY_DAYS": "90"}) == Some("t", 90)


@pytest.mark.parametrize("value", ["", "ninety", "9.5"])
def test_a_variable_with_a_wrong_value_is_named_without_its_value(value: str) -> None:
    with pytest.raises(SettingError, match="ALERT_MEMORY_DAYS") as raised:
        read_environment(Some, {"TABLE_NAME": "t", "ALERT_MEMORY_DAYS": value})
    assert not value or value not in str(raised.value)
