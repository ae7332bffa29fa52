"""What `vaultwatch check` does before it reads a log: it is a large part of the time that a small one takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LATER = (
    *("asyncio", "boto3", "ctypes", "json", "multiprocessing", "random", "sigma", "subprocess"),
    *("dataclasses", "tempfile", "click.shell_completion", "vaultwatch.inputs.hints", "vaultwatch.reading.hclog"),
    "vaultwatch.reading.joined_messages",
)
"""Each takes from two to forty milliseconds."""


def test_a_plain_log_needs_no_module_that_takes_long_to_import(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    log.write_bytes(b'{"type":"request","time":"2026-11-21T07:29:43Z","request":{"id":"1","path":"secret/data/a"}}\n')
    code = (
        "import sys\nfrom vaultwatch.cli import main\n"
        f"try:\n    main(['check', {str(log)!r}])\n"
        f"finally:\n    print(*[name for name in {LATER!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "\n"
