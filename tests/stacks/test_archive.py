"""Stack `archive`: its objects cannot be deleted early, are encrypted, expire, and are announced to EventBridge."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.templates import Template, of_type, properties, text

ROOT = Path(__file__).parents[2]
BUCKETS = ["AccessLogs", "Alerts", "Archive", "Snapshots"]


@pytest.mark.usefixtures("templates")
def test_no_stack_can_be_deleted_by_accident(outdir: Path) -> None:
    found = json.loads((outdir / "manifest.json").read_text())["artifacts"]
    stacks = {name: one for name, one in found.items() if one["type"] == "aws:cloudformation:stack"}

    assert {"vaultwatch-archive", "vaultwatch-alerting"} < stacks.keys()
    assert [name for name, one in stacks.items() if not one["properties"].get("terminationProtection")] == []


def test_its_buckets_and_its_key_outlive_the_stack(archive: Template) -> None:
    stateful = of_type(archive, "S3::Bucket") | of_type(archive, "KMS::Key")

    assert len(stateful) == 5
    assert {(found["DeletionPolicy"], found["UpdateReplacePolicy"]) for found in stateful.values()} == {
        ("Retain", "Retain")
    }


def test_nobody_can_delete_a_line_before_its_retention_ends(archive: Template) -> None:
    bucket = properties(archive, "S3::Bucket", "Archive")

    assert bucket["ObjectLockEnabled"] is True
    assert bucket["ObjectLockConfiguration"]["Rule"] == {"DefaultRetention": {"Days": 365, "Mode": "GOVERNANCE"}}


def test_nobody_may_bypass_the_lock(archive: Template) -> None:
    policy = properties(archive, "S3::BucketPolicy", "Archive")["PolicyDocument"]["Statement"]

    [denied] = [statement for statement in policy if statement.get("Sid") == "KeepLocks"]
    assert (denied["Effect"], denied["Principal"]) == ("Deny", {"AWS": "*"})
    assert denied["Action"] == "s3:BypassGovernanceRetention"
    assert text(denied["Resource"]) == "<Archive.Arn>/*"
    assert "Condition" not in denied


@pytest.mark.parametrize("name", ["Archive", "Snapshots"])
def test_nobody_may_put_another_version_over_an_object(archive: Template, name: str) -> None:
    policy = properties(archive, "S3::BucketPolicy", name)["PolicyDocument"]["Statement"]

    [denied] = [statement for statement in policy if statement.get("Sid") == "NeverReplace"]
    assert (denied["Effect"], denied["Principal"], denied["Action"]) == ("Deny", {"AWS": "*"}, "s3:PutObject")
    assert text(denied["Resource"]).endswith(".Arn>/*")
    assert denied["Condition"] == {
        "Null": {"s3:if-none-match": "true"},
        "Bool": {"s3:ObjectCreationOperation": "true"},
    }


def test_no_write_of_ours_to_these_buckets_is_denied_for_that() -> None:
    files = [*(ROOT / "vaultwatch/archive").glob("*.py"), ROOT / "vaultwatch/hosts/snapshots.py"]
    calls = [node for file in files for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    puts = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "put_object"]

    assert len(puts) == 3
    assert all("IfNoneMatch" in [keyword.arg for keyword in put.keywords] for put in puts)


def test_snapshots_are_encrypted_locked_and_removed_when_their_lock_ends(archive: Template) -> None:
    bucket = properties(archive, "S3::Bucket", "Snapshots")
    [age] = [rule for rule in bucket["LifecycleConfiguration"]["Rules"] if rule["Id"] == "Age"]
    [encryption] = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    policy = properties(archive, "S3::BucketPolicy", "Snapshots")["PolicyDocument"]["Statement"]

    assert bucket["ObjectLockConfiguration"]["Rule"] == {"DefaultRetention": {"Days": 30, "Mode": "GOVERNANCE"}}
    assert (age["ExpirationInDays"], age["NoncurrentVersionExpiration"]) == (30, {"NoncurrentDays": 1})
    assert text(encryption["ServerSideEncryptionByDefault"]["KMSMasterKeyID"]) == "<Key.Arn>"
    assert [it["Action"] for it in policy if it.get("Sid") == "KeepLocks"] == ["s3:BypassGovernanceRetention"]


def test_without_nodes_there_are_no_snapshots(synthesized: Callable[..., dict[str, Template]]) -> None:
    buckets = of_type(synthesized(vault="external")["archive"], "S3::Bucket")

    assert {name[:-8] for name in buckets} == {*BUCKETS[:3]}


def test_in_compliance_mode_not_even_an_administrator_can_shorten_a_lock(
    synthesized: Callable[..., dict[str, Template]],
) -> None:
    bucket = properties(synthesized(object_lock_mode="COMPLIANCE")["archive"], "S3::Bucket", "Archive")

    assert bucket["ObjectLockConfiguration"]["Rule"] == {"DefaultRetention": {"Days": 365, "Mode": "COMPLIANCE"}}


def test_a_bucket_to_which_aws_services_write_has_no_object_lock(archive: Template) -> None:
    assert all("ObjectLockConfiguration" not in properties(archive, "S3::Bucket", name) for name in BUCKETS[:2])


def test_lines_change_storage_class_and_expire_as_the_settings_say(
    synthesized: Callable[..., dict[str, Template]],
) -> None:
    days = {"archive_infrequent_access_days": 40, "archive_glacier_days": 100, "archive_expiry_days": 700}
    archive = synthesized(**days, archive_retention_days=600)["archive"]

    age = next(rule for rule in _rules(archive, "Archive") if rule["Id"] == "Age")
    assert age["Transitions"] == [
        {"StorageClass": "STANDARD_IA", "TransitionInDays": 40},
        {"StorageClass": "GLACIER", "TransitionInDays": 100},
    ]
    assert age["ExpirationInDays"] == 700
    lock = properties(archive, "S3::Bucket", "Archive")["ObjectLockConfiguration"]
    assert lock["Rule"]["DefaultRetention"]["Days"] == 600


def test_alerts_are_kept_as_long_as_the_archive_and_copies_as_long_as_alerts_are_remembered(archive: Template) -> None:
    kept = {rule["Prefix"]: rule["ExpirationInDays"] for rule in _rules(archive, "Alerts") if "Prefix" in rule}

    assert kept == {"alerts/": 400, "aws/lambda/": 90, "oversize/": 90, "parked/": 90, "rejected/": 90}


@pytest.mark.parametrize("name", BUCKETS)
def test_every_bucket_is_versioned_and_private_and_removes_aborted_uploads(archive: Template, name: str) -> None:
    bucket = properties(archive, "S3::Bucket", name)

    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert any("AbortIncompleteMultipartUpload" in rule for rule in _rules(archive, name))


@pytest.mark.parametrize("name", BUCKETS)
def test_expiry_leaves_neither_a_delete_marker_nor_an_old_version(archive: Template, name: str) -> None:
    rules = _rules(archive, name)

    assert [rule["Id"] for rule in rules if rule.get("ExpiredObjectDeleteMarker")] == ["CleanUp"]
    assert all("ExpirationInDays" not in rule for rule in rules if rule["Id"] == "CleanUp")  # S3 takes only one of them
    assert [rule for rule in rules if "NoncurrentVersionExpiration" in rule and "Prefix" not in rule]


@pytest.mark.parametrize("name", BUCKETS)
def test_every_bucket_refuses_requests_without_tls(archive: Template, name: str) -> None:
    policy = properties(archive, "S3::BucketPolicy", name)["PolicyDocument"]["Statement"]

    others = ("KeepLocks", "NeverReplace")
    denied = [it for it in policy if it["Effect"] == "Deny" and "Condition" in it and it.get("Sid") not in others]
    assert {"Bool": {"aws:SecureTransport": "false"}} in [statement["Condition"] for statement in denied]
    assert all((statement["Action"], statement["Principal"]) == ("s3:*", {"AWS": "*"}) for statement in denied)


@pytest.mark.parametrize("name", BUCKETS[1:])
def test_lines_and_alerts_are_encrypted_with_a_key_that_rotates(archive: Template, name: str) -> None:
    [rule] = properties(archive, "S3::Bucket", name)["BucketEncryption"]["ServerSideEncryptionConfiguration"]

    assert rule["BucketKeyEnabled"] is True
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert text(rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"]) == "<Key.Arn>"
    assert properties(archive, "KMS::Key")["EnableKeyRotation"] is True


@pytest.mark.parametrize("name", BUCKETS[1:])
def test_access_is_logged_and_new_objects_are_announced_to_eventbridge(archive: Template, name: str) -> None:
    bucket = properties(archive, "S3::Bucket", name)

    assert text(bucket["LoggingConfiguration"]["DestinationBucketName"]) == "<AccessLogs>"
    assert bucket["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}


def _rules(archive: Template, name: str) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = properties(archive, "S3::Bucket", name)["LifecycleConfiguration"]["Rules"]
    return rules
