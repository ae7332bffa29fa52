"""Print the SHA-256 and the name of each wheel in a pylock.toml, for tests/data/wheels.txt: `make requirements`."""

import sys
import tomllib
from pathlib import Path


def main() -> None:
    """Print one line for each wheel."""
    lock = tomllib.loads(Path(sys.argv[1]).read_text())
    for package in lock["packages"]:
        for wheel in package.get("wheels", []):
            print(wheel["hashes"]["sha256"], wheel.get("name") or wheel["url"].rpartition("/")[2])


if __name__ == "__main__":
    main()
