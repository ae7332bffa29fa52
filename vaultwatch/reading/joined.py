"""Find the entry that follows one without an end, on the same line.

A program that is killed while its disk is full leaves a part of a line in its file. Once there is room again, the next
line follows that part without a newline (measured with syslog-ng 3.38 and 4.8). It is whole, and must be evaluated.
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
    """Return where a whole entry begins within a line that cannot be parsed, and ends with it; 0 if none does.

    A text of the first entry cannot look like one: its quotes are escaped.

    Args:
        line: The line, without its newline. The tag of the second entry, if it has one, is part of the result.
    """
    for found in islice(_BEGINNING.finditer(line, 1), _MOST_BEGINNINGS):
        rest = split_tag(line[found.start() :])[1]
        if not exceeded(rest) and not isinstance(read_audit_entry(rest), Rejected):
            return found.start()
    return 0
