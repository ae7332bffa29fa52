"""Runs the `vaultwatch` command with another compiled pack in place of the shipped one.

`python -m bench.with_pack PACK check FILE` does what `vaultwatch check FILE` does. `check --rules` would compile the
rules first, which takes longer than most of what is measured.
"""

from __future__ import annotations

import sys
from pathlib import Path

from vaultwatch import cli
from vaultwatch.rules import pack


def main(arguments: list[str]) -> int:
    """Run the command; return its exit status."""
    name, *rest = arguments
    pack.SHIPPED_PACK = Path(name)
    return cli.main(rest)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
