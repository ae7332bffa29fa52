"""What Vaultwatch writes to files that a user names, and how such a file begins.

An output replaces a file only if that is empty, or earlier output of the same kind: nobody loses what they did not
expect to be replaced, such as a log.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import NamedTuple

_HEAD_BYTES = 4096


class Output(NamedTuple):
    """One kind of output: what it is, and how its files begin."""

    name: str
    begins: re.Pattern[bytes]

    def refusal(self, path: Path) -> str:
        """Return why this output must not be written to a path; "" if nothing is lost there.

        A terminal and /dev/null lose nothing. Opening a named pipe would wait for somebody who reads it.
        """
        try:
            mode = path.stat().st_mode
            if stat.S_ISCHR(mode):
                return ""
            if not stat.S_ISREG(mode):
                return "is not a regular file"
            with path.open("rb") as file:
                head = file.read(_HEAD_BYTES)
        except FileNotFoundError:
            return ""
        except (OSError, ValueError) as error:
            return getattr(error, "strerror", None) or str(error)
        if not head or self.begins.match(head):
            return ""
        return f"has something else than {self.name}, and is left as it is"


ALERTS = Output("alerts", re.compile(rb'\{"id":"[^"]*","rule":"[^"]*","title":"'))
REJECTED = Output("rejected lines", re.compile(rb'\{"reason":"(?:[^"\\]|\\.)*","cluster":"'))
STATS = Output("counts of vaultwatch", re.compile(rb'\{"audit":\d+,"server":\d+,"rejected":\d+,'))
METRICS = Output("metrics of vaultwatch", re.compile(rb"# HELP vaultwatch_"))
