"""What every function needs at its start: its settings from the environment, and clients.

botocore instead of boto3, which would load S3's transfer manager and with it a third more at every cold start.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import botocore.session
import msgspec
from botocore.config import Config

from vaultwatch.errors import SettingError
from vaultwatch.rules.pack import Rule, shipped_rules

_T = TypeVar("_T", bound=msgspec.Struct)
_RULES_FOLDER = Path(__file__).resolve().parent.parent / "rules"


def read_environment(settings: type[_T], environment: Mapping[str, str] = os.environ) -> _T:
    """The settings, each field from the variable of its name in capitals; raises `SettingError` with that name."""
    names = {field.name: field.name.upper() for field in msgspec.structs.fields(settings)}
    for name in names.values():
        if not environment.get(name):
            raise SettingError(f"the environment variable {name} is not set")
    found = {field: environment[name] for field, name in names.items()}
    try:
        return msgspec.convert(found, settings, strict=False)
    except msgspec.ValidationError as error:
        wrong = str(error).rpartition("$.")[2].rstrip("`").upper()
        raise SettingError(f"the environment variable {wrong} has no usable value") from None


@cache
def _session() -> botocore.session.Session:
    return botocore.session.get_session()


def make_client(service: str) -> Any:
    """A client that gives up early enough for its caller to go on; what could not be done is done again by events."""
    retries: Any = {"total_max_attempts": 3, "mode": "standard"}
    config = Config(connect_timeout=3, read_timeout=10, retries=retries)
    return _session().create_client(service, config=config)


def load_rules() -> list[Rule]:
    """The compiled pack of the bundle, and its rules in Python; raises `RuleError`."""
    rules = shipped_rules()
    if next(_RULES_FOLDER.glob("*.py"), None) is None:
        return rules
    from vaultwatch.rules.python_rules import load_python_rules

    return rules + load_python_rules([_RULES_FOLDER], taken={rule.name for rule in rules})
