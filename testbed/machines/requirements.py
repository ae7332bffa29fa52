"""What has to be here before machines can boot."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from testbed.machines.tree import ARCHITECTURE, is_made

# `node` synthesizes the templates.
_PROGRAMS = ("ip", "losetup", "node", "nsenter", "systemd-nspawn", "unshare")


def missing() -> str:
    """Return why no machine can boot here, "" if they can."""
    if platform.machine() != ARCHITECTURE:
        return f"the base tree is one for {ARCHITECTURE}"
    if os.geteuid() != 0:
        return "it needs root"
    programs = (*_PROGRAMS, *(() if is_made() else ("debootstrap",)))
    absent = [program for program in programs if shutil.which(program) is None]
    if not absent and not Path("/dev/loop-control").exists():
        absent = ["loop devices"]
    return f"it needs {', '.join(absent)}" if absent else ""
