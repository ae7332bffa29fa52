"""What Vaultwatch writes to files that a user names, and how such a file begins.

An output replaces a file only if that is empty, or earlier output of the same kind, in all of its lines if they have
one form: nobody loses what they did not expect to be replaced, such as a log.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import IO, NamedTuple

_HEAD_BYTES = 4096


class Output(NamedTuple):
    """One kind of output.

    Attributes:
        name: What it is.
        begins: How its files begin.
        line: How each line begins, of files that are lines of one form.
        other: What is said of another file.
    """

    name: str
    begins: re.Pattern[bytes]
    line: re.Pattern[bytes] | None = None
    other: str = "has something else than {name}"

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
                file.seek(0)
                is_own = not head or bool(self.begins.match(head) and self._has_only_lines(file))
        except FileNotFoundError:
            return ""
        except (OSError, ValueError) as error:
            return getattr(error, "strerror", None) or str(error)
        return "" if is_own else f"{self.other.format(name=self.name)}, and is left as it is"

    def _has_only_lines(self, file: IO[bytes]) -> bool:
        begins = True
        while self.line and (piece := file.readline(_HEAD_BYTES)):  # of a longer line, what follows is not looked at
            if begins and not self.line.match(piece):
                return False
            begins = piece.endswith(b"\n")
        return True


def metrics_by(command: str) -> Output:
    """Return what one command writes for Prometheus: the metrics of another are something else."""
    line = rf'# (?:HELP|TYPE) vaultwatch_|vaultwatch_\w+\{{command="{re.escape(command)}"[,}}]'.encode()
    return Output(f"metrics of vaultwatch {command}", re.compile(rb"# HELP vaultwatch_"), re.compile(line))


ALERTS = Output("alerts", re.compile(rb'\{"id":"[^"]*","rule":"[^"]*","title":"'))
REJECTED = Output("rejected lines", re.compile(rb'\{"reason":"(?:[^"\\]|\\.)*","cluster":"'))
NEW_REJECTED = Output("rejected lines", re.compile(rb"(?!)"), other="is not empty")
"""Rejected lines in a file of their own: `watch` appends to its file for weeks, and nobody sees whose file one is."""
_COUNTS = re.compile(rb'\{"audit":\d+,"server":\d+,"rejected":\d+,')
STATS = Output("counts of vaultwatch", _COUNTS, _COUNTS)
