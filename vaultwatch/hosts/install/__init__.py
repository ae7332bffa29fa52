"""Set up a host at every boot: `vaultwatch host install`, which the host bundle runs.

The work is a list of steps. Each knows whether it is done, does nothing if it is, and may be killed at any instruction:
the next run finishes what this one has left.
"""

from vaultwatch.hosts.install.host import Host, Programs, Step
from vaultwatch.hosts.install.run import STEPS, boot, install

__all__ = ["STEPS", "Host", "Programs", "Step", "boot", "install"]
