"""Find the entry that follows one without an end, on the same line.

A program that is killed while its disk is full leaves a part of a line in its file. Once there is room again, the next
line follows that part without a newline (seen with syslog-ng 3.38). It is whole, and must be evaluated.
"""

from __future__ import annotations

import re
from itertools import islice

from vaultwatch.reading.budget import exceeded
from vaultwatch.reading.records import Rejected, read_audit_entry, split_tag

# Without a tag, an object behind one of these could be a part of the first entry, whose members clients name.
_BEGINNING = re.compile(
    rb'(?:@[\w.-]{1,255}/[\w.:-]{1,255}/(?:socket|file) |(?<![:,\[\s]))\{"(?:time|type|auth|request|response|error)":'
)
_MOST_BEGINNINGS = 32  # an entry has a few objects that begin like one, and a client can add any number


def joined_entry(line: bytes) -> int:
    """Return where a whole entry begins behind a part of another one, and ends with the line; 0 if none does.

    A text of the first entry cannot look like one: its quotes are escaped.

    Args:
        line: A line that cannot be parsed, without its newline. If the second entry has a tag, it begins with that.
    """
    for found in islice(_BEGINNING.finditer(line, 1), _MOST_BEGINNINGS):
        rest = split_tag(line[found.start() :])[1]
        if not exceeded(rest) and _is_entry(rest):
            return 0 if _is_entry(line[: found.start()]) else found.start()
    return 0


def _is_entry(text: bytes) -> bool:
    return not isinstance(read_audit_entry(text), Rejected)
