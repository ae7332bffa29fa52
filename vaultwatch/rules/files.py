"""Find the files below a folder of rules, always in the same order."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

FIXTURES = "fixtures"


def rule_files(directory: Path, suffixes: Collection[str]) -> Iterator[Path]:
    """Find files by their suffix in a folder and its subfolders, sorted by name, files before subfolders.

    Names that begin with a dot are skipped (editors and macOS leave `._` files), and folders named `fixtures` too.

    Args:
        directory: The folder.
        suffixes: With their dot, in lower case; a file's suffix may be in any case.

    Raises:
        OSError: A folder cannot be read.
    """
    yield from _files_below(directory, suffixes, frozenset())


def name_of(path: Path, directory: Path) -> str:
    """Return how errors name a file: by its folder of rules, and where it is in that."""
    return str(path.relative_to(directory.parent) if directory.parent in path.parents else path)


def _files_below(folder: Path, suffixes: Collection[str], above: frozenset[Path]) -> Iterator[Path]:
    above |= {folder.resolve()}
    found = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    yield from (path for path in found if path.suffix.lower() in suffixes and not path.is_dir())
    for path in found:
        if path.is_dir() and path.name != FIXTURES and path.resolve() not in above:  # a link may lead back up
            yield from _files_below(path, suffixes, above)
