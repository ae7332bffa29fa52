"""Settings that nobody listed: each combination is synthesized within AWS's limits, or refused with one line.

`make test` tries few. This tries hundreds, in an hour:

    pytest --hypothesis-profile=long -o faulthandler_timeout=0 tests/stacks/test_any_settings.py
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from stacks.user_data import MAX_BYTES
from tests.stacks.conftest import synthesize
from tests.support.any_settings import any_settings
from tests.support.templates import of_type
from vaultwatch.errors import SettingError
from vaultwatch.settings import read_settings

IS_LONG = settings.get_current_profile_name() == "long"
ANY = settings(derandomize=True, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate])


def refusal(chosen: dict[str, Any]) -> str:
    """Return why settings are refused, "" if they are accepted."""
    try:
        read_settings(chosen)
    except SettingError as error:
        return str(error)
    return ""


@settings(ANY, max_examples=1000 if IS_LONG else 100)
@given(any_settings())
def test_settings_are_accepted_or_refused_with_one_line_that_names_a_setting(chosen: dict[str, Any]) -> None:
    assert re.fullmatch(r"(vaultwatch\.[a-z0-9_]+(\[[^\n]*\])?: [^\n]{5,300})?", refusal(chosen))


@settings(ANY, max_examples=300 if IS_LONG else 2)
@given(any_settings().filter(lambda chosen: len(chosen) > 3 and not refusal(chosen)))
def test_what_is_accepted_is_synthesized_within_the_limits_of_cloudformation(
    tmp_path_factory: pytest.TempPathFactory, chosen: dict[str, Any]
) -> None:
    for stack, template in synthesize(tmp_path_factory.mktemp("out"), chosen).items():
        # CloudFormation quotas: resources, outputs, and the size of a template body in S3.
        assert len(template["Resources"]) <= 500
        assert len(template.get("Outputs", {})) <= 200
        assert len(json.dumps(template)) <= 1_000_000, stack
        for found in of_type(template, "EC2::LaunchTemplate").values():
            assert len(json.dumps(found["Properties"]["LaunchTemplateData"]["UserData"])) < MAX_BYTES
        for role in of_type(template, "IAM::Role").values():
            # IAM quotas: 10,240 characters in all inline policies of a role.
            assert sum(len(json.dumps(it)) for it in role["Properties"].get("Policies", ())) <= 10_240
