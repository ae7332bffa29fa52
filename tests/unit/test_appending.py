"""A file that is replaced keeps its mode; a new one gets the mode that its writer names."""

from __future__ import annotations

import os
from pathlib import Path

from vaultwatch.appending import replace_file


def test_a_replaced_file_keeps_its_mode(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"1")
    old.chmod(0o640)
    mask = os.umask(0o077)
    try:
        replace_file(old, b"2")
        replace_file(new, b"2")
    finally:
        os.umask(mask)
    assert [path.read_bytes() for path in (old, new)] == [b"2", b"2"]
    assert [path.stat().st_mode & 0o777 for path in (old, new)] == [0o640, 0o644]
