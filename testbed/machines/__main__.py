"""`python -m testbed.machines`: says whether `make test` boots hosts; it does not make the base tree."""

from __future__ import annotations

import sys

from testbed.machines.requirements import missing
from testbed.machines.tree import is_made

reason = missing() or ("" if is_made() else "`make hosts` makes the base tree first")
if reason:
    sys.exit(f"check: no host is booted: {reason}")
