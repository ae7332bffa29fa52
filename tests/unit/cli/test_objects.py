"""Logs on S3 are checked like files: below a prefix, by a pattern, compressed or not."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from vaultwatch.cli import main, objects
from vaultwatch.cli.objects import objects_at
from vaultwatch.errors import SettingError
from vaultwatch.inputs.errors import Unreadable

RECORDING = Path(__file__).parents[2] / "data" / "recordings" / "vault-1.14.2" / "generate-root" / "audit.jsonl"
LOG = RECORDING.read_bytes()


@pytest.fixture(scope="module", autouse=True)
def bucket() -> Iterator[None]:
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="vault-logs", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        for key, content in {
            "vault/": b"",
            "vault/audit.log": LOG,
            "vault/audit.log.2.gz": gzip.compress(LOG),
            "vault/audit.log.10.gz": gzip.compress(LOG),
            "other/readme.txt": b"not a log\n",
        }.items():
            s3.put_object(Bucket="vault-logs", Key=key, Body=content)
        yield


@pytest.mark.parametrize(
    ("place", "names"),
    [
        ("s3://vault-logs/vault/", ["vault/audit.log.10.gz", "vault/audit.log.2.gz", "vault/audit.log"]),
        ("s3://vault-logs/vault/audit.log.2", ["vault/audit.log.2.gz"]),
        ("s3://vault-logs/*.gz", ["vault/audit.log.10.gz", "vault/audit.log.2.gz"]),
        ("s3://vault-logs/nothing/", []),
    ],
)
def test_objects_are_found_by_prefix_or_pattern_the_oldest_first(place: str, names: list[str]) -> None:
    assert [one.name for one in objects_at(place)] == [f"s3://vault-logs/{name}" for name in names]


def test_what_is_on_s3_raises_the_alerts_of_a_file(capfd: pytest.CaptureFixture[str]) -> None:
    main(["check", "--format", "csv", str(RECORDING)])
    expected = capfd.readouterr().out.replace(str(RECORDING), "s3://vault-logs/vault/audit.log.2.gz")
    assert main(["check", "--format", "csv", "s3://vault-logs/vault/audit.log.2"]) == 1
    assert capfd.readouterr().out == expected


def test_the_file_of_an_alert_is_the_address_of_the_object(capfd: pytest.CaptureFixture[str]) -> None:
    main(["check", "--format", "json", "s3://vault-logs/vault/audit.log.2"])
    assert '"s3://vault-logs/vault/audit.log.2.gz' in capfd.readouterr().out


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("s3://vault-logs/nothing/", "s3://vault-logs/nothing/: there is no log to read"),
        ("s3://vault-logs/other/", "s3://vault-logs/other/readme.txt: its only line is rejected"),
        ("s3://no-bucket/", "s3://no-bucket/: ListObjectsV2: NoSuchBucket"),
        ("s3://", "s3://: names no bucket"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_status_2(place: str, says: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--quiet", place]) == 2
    error = capfd.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_an_object_that_is_gone_before_it_is_read_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    s3 = boto3.client("s3")
    s3.put_object(Bucket="vault-logs", Key="gone/a", Body=LOG)
    (found,) = objects_at("s3://vault-logs/gone/")
    s3.delete_object(Bucket="vault-logs", Key="gone/a")
    with pytest.raises(Unreadable, match="GetObject: NoSuchKey"), found.opening():
        pass


def test_a_bucket_of_too_many_objects_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "_MAX_OBJECTS", 2)
    with pytest.raises(SettingError, match="s3://vault-logs/: more than 2 objects: name a longer prefix"):
        objects_at("s3://vault-logs/")


def test_without_boto3_the_missing_extra_is_named(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("botocore", "botocore.session", "botocore.config"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["check", "s3://vault-logs/vault/"]) == 2
    assert "install Vaultwatch with its extra `aws`" in capfd.readouterr().err
