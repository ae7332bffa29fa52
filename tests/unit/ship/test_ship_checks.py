"""Settings that cannot be used are found before anything is read."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.support.kinesis import Kinesis
from tests.support.shipping import FAST
from vaultwatch.aws.clients import Clients
from vaultwatch.errors import BOTO3_MISSING
from vaultwatch.ship import ShipOptions, check_config
from vaultwatch.ship.checks import problems


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kinesis]:
    with Kinesis() as kinesis:
        monkeypatch.setenv("AWS_ENDPOINT_URL", kinesis.url)
        yield kinesis


@pytest.fixture
def good(aws: Kinesis, tmp_path: Path) -> ShipOptions:
    name = f"s-{uuid.uuid4()}"
    with closing(boto3.client("kinesis")) as client:
        client.create_stream(StreamName=name, ShardCount=1)
    return ShipOptions("audit", name, state=tmp_path / "state", pace=FAST)


def test_valid_settings_exit_with_0(good: ShipOptions, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_config(good) == 0
    assert "--oversize-bucket is not set" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("source", "metrics", "--source: 'metrics' is neither audit nor server"),
        ("stream", "arn:aws:kinesis", "--stream: 'arn:aws:kinesis' is not the name of a Kinesis stream"),
        ("stream", "missing", "--stream missing: DescribeStreamSummary: ResourceNotFoundException"),
        ("oversize_bucket", "No_Bucket", "--oversize-bucket: 'No_Bucket' is not the name of an S3 bucket"),
        ("oversize_bucket", "missing-bucket", "--oversize-bucket missing-bucket: HeadBucket: 404"),
        ("state", Path("/proc/nowhere"), "--state: /proc/nowhere: No such file or directory"),
        ("log_file", Path("/proc/nowhere/ship.log"), "--log-file: /proc/nowhere/ship.log: No such file or directory"),
    ],
)
def test_an_invalid_setting_is_named_and_exits_with_2(
    good: ShipOptions, setting: str, value: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_config(replace(good, **{setting: value})) == 2
    assert f"vaultwatch ship: {said}" in capsys.readouterr().err


def test_one_file_for_metrics_and_log_is_refused(
    good: ShipOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    assert check_config(replace(good, metrics=file, log_file=file)) == 2
    assert f"vaultwatch ship: --log-file: {file}: is the file of --metrics too" in capsys.readouterr().err


def test_without_boto3_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    assert check_config(ShipOptions("audit", "s", state=tmp_path, pace=FAST)) == 2
    assert capsys.readouterr().err.splitlines()[0] == f"vaultwatch ship: {BOTO3_MISSING}"


def test_a_lock_file_that_is_a_link_is_refused(good: ShipOptions, capsys: pytest.CaptureFixture[str]) -> None:
    good.state_directory.mkdir()
    good.lock_file.symlink_to("/etc/passwd")
    assert check_config(good) == 2
    assert good.lock_file.name in capsys.readouterr().err


def test_denied_credentials_are_named(good: ShipOptions, aws: Kinesis, capsys: pytest.CaptureFixture[str]) -> None:
    aws.denied_keys.add("testing")
    assert check_config(good) == 2
    assert "DescribeStreamSummary: AccessDeniedException denied" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID"])
def test_a_missing_region_or_credential_is_named(
    good: ShipOptions, missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(missing)
    assert check_config(good) == 2
    assert {"AWS_DEFAULT_REGION": "NoRegion", "AWS_ACCESS_KEY_ID": "Credentials"}[missing] in capsys.readouterr().err


def test_an_unreachable_endpoint_is_reported_and_does_not_keep_a_log_server_from_starting(
    good: ShipOptions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert check_config(good) == 0
    assert "EndpointConnectionError" in capsys.readouterr().err


@pytest.mark.parametrize(
    "answer", [b"<html>please log in</html>", b"{}", b"null", b"[]", b'{"StreamDescriptionSummary":null}']
)
def test_an_endpoint_that_is_not_kinesis_is_reported(
    good: ShipOptions, aws: Kinesis, answer: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def reply(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(answer)))])
        return [answer]

    monkeypatch.setattr("tests.support.kinesis._moto", reply)
    assert check_config(good) == 2
    assert f"--stream {good.stream}: not a response of AWS" in capsys.readouterr().err


def test_a_log_file_that_is_a_named_pipe_is_not_waited_for(
    good: ShipOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "ship.log")
    assert check_config(replace(good, log_file=tmp_path / "ship.log")) == 2
    assert "--log-file" in capsys.readouterr().err


def test_the_state_is_in_the_runtime_directory_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert ShipOptions("audit", "s").lock_file == tmp_path / "vaultwatch" / "ship-audit-s.lock"


def test_without_a_runtime_directory_one_must_be_specified(
    good: ShipOptions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert check_config(replace(good, state=None)) == 2
    assert "--state: /run/vaultwatch is not writable" in capsys.readouterr().err


class Stub:
    """Clients that give the answers of a test."""

    def __init__(self, status: str = "ACTIVE", bucket_code: str = "") -> None:
        self._status, self._bucket_code = status, bucket_code

    def kinesis(self) -> Stub:
        return self

    def s3(self) -> Stub:
        return self

    def describe_stream_summary(self, StreamName: str) -> dict[str, dict[str, str]]:  # noqa: ARG002, N803 (as boto3's)
        return {"StreamDescriptionSummary": {"StreamStatus": self._status}}

    def head_bucket(self, Bucket: str) -> None:  # noqa: ARG002, N803 (as boto3's)
        if self._bucket_code:
            raise ClientError({"Error": {"Code": self._bucket_code}}, "HeadBucket")


@pytest.mark.parametrize(
    ("status", "permanent"), [("ACTIVE", None), ("UPDATING", None), ("CREATING", False), ("DELETING", True)]
)
def test_a_stream_must_exist(good: ShipOptions, status: str, permanent: bool | None) -> None:
    found = problems(good, cast("Clients", Stub(status=status)))
    assert [problem.permanent for problem in found] == ([] if permanent is None else [permanent])


@pytest.mark.parametrize(("code", "count"), [("", 0), ("403", 0), ("404", 1), ("301", 1)])
def test_a_role_that_may_only_write_to_the_bucket_is_enough(good: ShipOptions, code: str, count: int) -> None:
    options = replace(good, oversize_bucket="large-lines")
    assert len(problems(options, cast("Clients", Stub(bucket_code=code)))) == count
