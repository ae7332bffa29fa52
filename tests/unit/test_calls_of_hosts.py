"""Every call of AWS outside the functions of alerts: what still happens while it fails, and the test that shows it.

`tests/unit/lambdas/test_failing_calls.py` has the table of those functions. Of the calls here only `Kinesis.PutRecords`
precedes an alert, and `S3.PutObject` of a line that is too long for a frame. `ship` retries both until they work, and
syslog-ng keeps the log meanwhile.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from botocore import xform_name

from tests.support.dynamodb import session

ROOT = Path(__file__).parents[2]
ROOMS = ("archive", "authority", "cli", "handler", "hosts", "ship", "watch")
SERVICES: tuple[str, ...] = (
    "cloudformation",
    "cloudwatch",
    "ec2",
    "firehose",
    "kinesis",
    "kms",
    "lambda",
    "route53",
    "s3",
    "sns",
    "ssm",
)
SERVICES += ("secretsmanager", "sqs")
NO_CALLS = {  # of a key or of click, not of a client
    ("authority/certificates.py", "sign"),
    ("cli/__init__.py", "invoke"),
    ("cli/groups.py", "list_commands"),
    ("hosts/certificate.py", "sign"),
}
HOSTS, SHIP = "unit/hosts/test_", "unit/ship/test_ship_"
RETRIED = "unit/hosts/test_install.py::test_a_failed_step_is_tried_again_before_the_host_says_that_it_has_failed"
COMPLETED = "unit/hosts/test_bootstrap.py::test_a_run_killed_at_any_call_is_completed_by_the_next"
SHOWN_BY_THE_SCHEDULE = "unit/lambdas/test_sign.py::test_a_disabled_key_shows_at_the_next_run_of_the_schedule"
AFTER_THE_ALERTS = "unit/lambdas/test_failing_calls.py::test_while_a_call_fails"
FOR_A_PERSON = "unit/archive/test_verify.py::test_a_bucket_that_cannot_be_listed_is_status_2"


class Row(NamedTuple):
    """A call in a module: what still happens while it fails, and which test shows it."""

    module: str
    method: str
    still: str
    shown_by: str


ROWS = [
    Row(
        "ship/sending.py",
        "put_records",
        "the frame is sent again until it is accepted",
        "faults/test_ship_outages.py::test_a_permanent_failure_is_logged_and_retried_until_it_is_repaired",
    ),
    Row("ship/oversize.py", "put_object", "the lines wait", f"{SHIP}oversize.py::test_a_missing_bucket_is_waited_for"),
    Row(
        "ship/checks.py",
        "describe_stream_summary",
        "`--check` says so, and the log server starts",
        f"{SHIP}checks.py::test_an_unreachable_endpoint_is_reported_and_does_not_keep_a_log_server_from_starting",
    ),
    Row("ship/checks.py", "head_bucket", "`--check` says so", f"{SHIP}checks.py::test_denied_credentials_are_named"),
    Row(
        "archive/storing.py",
        "put_object",
        "the file stays on its host until a later run; its alerts have taken the stream",
        "unit/archive/test_upload.py::test_a_failing_s3_delays_and_the_next_run_goes_on",
    ),
    Row(
        "archive/seen.py", "put_object", "`sweep` has published the segment's alerts, and is retried", AFTER_THE_ALERTS
    ),
    Row("archive/inventory.py", "get_object", "the command of a person says so", FOR_A_PERSON),
    Row("archive/inventory.py", "head_object", "the command of a person says so", FOR_A_PERSON),
    Row(
        "cli/objects.py",
        "get_object",
        "the command of a person says so, and reads the other objects",
        "unit/cli/test_objects.py::test_an_object_that_is_gone_before_it_is_read_is_named",
    ),
    Row("cli/places.py", "get_object", "the command of a person says so", FOR_A_PERSON),
    Row(
        "hosts/asking.py",
        "invoke",
        "the host keeps its certificate, and asks again",
        f"{HOSTS}certificate.py::test_while_the_authority_is_unavailable_the_pair_stays_and_what_a_crash_left_is_completed",
    ),
    Row("authority/kms_key.py", "get_public_key", "certificates stay valid", SHOWN_BY_THE_SCHEDULE),
    Row("authority/kms_key.py", "sign", "certificates stay valid", SHOWN_BY_THE_SCHEDULE),
    Row("authority/stored.py", "get_parameter", "certificates stay valid", SHOWN_BY_THE_SCHEDULE),
    Row("authority/stored.py", "put_parameter", "certificates stay valid", SHOWN_BY_THE_SCHEDULE),
    Row(
        "hosts/snapshots.py",
        "put_object",
        "the snapshot does not count as stored",
        f"{HOSTS}snapshots.py::test_what_s3_refuses_is_not_reported_as_stored",
    ),
    Row("hosts/install/volumes.py", "attach_volume", "the step is repeated", RETRIED),
    Row("hosts/install/names.py", "change_resource_record_sets", "the step is repeated", RETRIED),
    Row("hosts/install/signals.py", "signal_resource", "a host that is ready runs without it", RETRIED),
    Row(
        "hosts/install/figures.py",
        "put_metric_data",
        "the next minute reports them, and alarms miss them",
        f"{HOSTS}install.py::test_a_counter_of_vault_is_reported_once_also_after_a_report_that_failed",
    ),
    Row("hosts/bootstrap/keys.py", "describe_secret", "the next run completes it", COMPLETED),
    Row("hosts/bootstrap/keys.py", "get_secret_value", "the next run completes it", COMPLETED),
    Row("hosts/bootstrap/keys.py", "put_secret_value", "the next run completes it", COMPLETED),
    Row("hosts/bootstrap/keys.py", "tag_resource", "the next run completes it", COMPLETED),
]


def methods() -> set[str]:
    """Return the names of all methods of the clients of these services that are calls."""
    models = map(session().get_service_model, SERVICES)
    return {xform_name(operation) for model in models for operation in model.operation_names}


def called() -> Iterator[tuple[str, str]]:
    """Yield each module with each method of a client that it names."""
    known = methods()
    for room in ROOMS:
        for file in (ROOT / "vaultwatch" / room).rglob("*.py"):
            tree = ast.walk(ast.parse(file.read_text()))
            named = {
                node.func.attr for node in tree if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            }
            yield from ((str(file.relative_to(ROOT / "vaultwatch")), name) for name in named & known)


def test_every_call_in_the_code_has_its_row() -> None:
    assert set(called()) - NO_CALLS == {(row.module, row.method) for row in ROWS}


@pytest.mark.parametrize("test", sorted({row.shown_by for row in ROWS}))
def test_what_still_happens_is_shown_by_a_test(test: str) -> None:
    file, _, name = test.partition("::")
    assert f"def {name}(" in (ROOT / "tests" / file).read_text()
