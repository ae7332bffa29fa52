"""`python -m vaultwatch`."""

import sys

from vaultwatch.cli import main

if __name__ == "__main__":
    sys.exit(main())
