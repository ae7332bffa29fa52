"""The files below a folder of rules, in one order for every reader."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

FIXTURES = "fixtures"


def rule_files(directory: Path, suffixes: Collection[str]) -> Iterator[Path]:
    """Find files by their suffix in a folder and its subfolders, sorted by name, files before subfolders.

    Names that begin with a dot are passed over (editors and macOS leave `._` files beside the real ones), and so are
    folders named `fixtures`.

    Args:
        directory: The folder.
        suffixes: With their dot, in lower case; a file's suffix may be in any case.

    Raises:
        OSError: a folder cannot be read.
    """
    yield from _files_below(directory, suffixes, frozenset())


def _files_below(folder: Path, suffixes: Collection[str], above: frozenset[Path]) -> Iterator[Path]:
    above |= {folder.resolve()}
    found = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    yield from (path for path in found if path.suffix.lower() in suffixes and not path.is_dir())
    for path in found:
        if path.is_dir() and path.name != FIXTURES and path.resolve() not in above:  # a link may lead back up
            yield from _files_below(path, suffixes, above)
