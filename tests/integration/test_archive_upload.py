"""What real logrotate and zstd leave on a log server is uploaded, and its lines come back from the archive."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.aws import LocalAws
from testbed.syslog_ng import search_path
from tests.support.waiting import eventually
from vaultwatch.archive.segments import unpack
from vaultwatch.archive.upload import Uploads
from vaultwatch.archive.waiting import LOGS
from vaultwatch.aws import keys

LOGROTATE = shutil.which("logrotate", path=search_path())
ASSET = Path(__file__).parents[2] / "assets/logrotate/log-server"
LINE = b'@prod/vault-1/socket {"time":"2026-11-28T09:00:00Z","type":"request","number":%d}\n'

pytestmark = pytest.mark.skipif(not (LOGROTATE and shutil.which("zstd")), reason="logrotate or zstd is missing")


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[LocalAws]:
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"ObjectLockEnabled": True}}
    with LocalAws({"archive": {"Resources": {"Bucket": bucket}}}, tmp_path) as aws:
        yield aws


def rotate(folder: Path) -> None:
    """Rotate at once, as the shipped configuration says, but without syslog-ng."""
    text = ASSET.read_text().replace("/var/log/vault", str(folder)).replace("/usr/sbin/syslog-ng-ctl reopen", "true")
    configuration = folder.parent / "logrotate.conf"
    configuration.write_text(text)
    configuration.chmod(0o600)
    command = [str(LOGROTATE), "--force", f"--state={folder.parent}/state", str(configuration)]
    free = int(time.time()) + 1.05  # rotated files are named by the second
    eventually(lambda: time.time() > free)
    subprocess.run(command, check=True, capture_output=True)


def test_what_logrotate_compressed_is_uploaded_and_comes_back(aws: LocalAws, tmp_path: Path) -> None:
    folder, bucket, reader = tmp_path / "vault", aws.physical_id("archive", "Bucket"), aws.client("s3")
    folder.mkdir()
    rotated = folder / "archive"
    began = int(time.time()) - 10_000
    for number in range(4):
        (folder / "audit").write_bytes(LINE % number * 1000)
        os.utime(folder / "audit", (began, began))
        rotate(folder)
    uploads = Uploads(lambda: reader, bucket, "log-server")
    uploaded = list(uploads.run(rotated, LOGS))
    assert not uploads.failed
    lines = [b"".join(unpack([reader.get_object(Bucket=bucket, Key=key)["Body"].read()])) for key in uploaded]
    # The newest is compressed at the next rotation.
    assert lines == [LINE % number * 1000 for number in range(3)]
    assert [keys.parse_segment(key).source for key in uploaded] == ["audit"] * 3
    assert len(list(rotated.glob("audit-*.zst.archived"))) == 3
    assert list(uploads.run(rotated, LOGS)) == []
