"""Where the records in the fixtures of rules come from: a real server wrote them, or they were composed.

The file `recorded.txt` in a folder of rules has a line for each record that a real server wrote exactly so: the first
16 hex digits of the SHA-256 of its line, and the product with its version. All other records are composed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vaultwatch.cli.rule_fixtures import fixtures_of
from vaultwatch.errors import RuleError

RECORDED = "recorded.txt"


class Origins(Counter[str]):
    """How many records of fixtures each product wrote, by its name; "" for those that were composed."""

    def __str__(self) -> str:
        """Return it in words."""
        recorded = ", ".join(f"{count} {product}" for product, count in sorted(self.items()) if product)
        composed = f"{self['']} composed" if self[""] else ""
        return ", ".join(part for part in (recorded and f"recorded: {recorded}", composed) if part) or "none"


def recorded_lines(directories: Iterable[Path]) -> dict[str, str]:
    """Return the product that wrote a line, by the digest of the line.

    Raises:
        RuleError: A file cannot be read, or a line of it has another form.
    """
    found: dict[str, str] = {}
    for path in (folder / RECORDED for folder in directories):
        try:
            lines = path.read_text().splitlines() if path.is_file() else []
        except (OSError, UnicodeDecodeError) as error:
            raise RuleError(f"{path}: cannot be read: {error}") from error
        for line in lines:
            digest, _, product = line.partition(" ")
            if not product:
                raise RuleError(f"{path}: not a digest and a product: {line[:80]}")
            found[digest] = product
    return found


def digest(line: bytes) -> str:
    """Return the digest of a line without its end: 16 hex digits."""
    return hashlib.sha256(line.rstrip(b"\r\n")).hexdigest()[:16]


def origins(rule: str, kind: str, directories: Sequence[Path], recorded: Mapping[str, str]) -> Origins:
    """Count the lines in a rule's fixtures by the product that wrote them.

    Args:
        rule: The name of the rule.
        kind: `match` or `ignore`.
        directories: The folders of rules.
        recorded: From `recorded_lines`.

    Raises:
        RuleError: A fixture cannot be read.
    """
    folder = fixtures_of(rule, directories)
    found = Origins()
    for path in (folder / f"{kind}{suffix}" for suffix in (".jsonl", ".log")) if folder else ():
        try:
            lines = path.read_bytes().splitlines() if path.is_file() else []
        except OSError as error:
            raise RuleError(f"{path}: {error.strerror}") from error
        found.update(recorded.get(digest(line), "") for line in lines if line.strip())
    return found
