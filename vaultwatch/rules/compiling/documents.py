"""Read the YAML files below a folder of rules: rules, filters and placeholders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from vaultwatch.errors import RuleError, RuleErrors
from vaultwatch.rules.compiling.faults import lines_of
from vaultwatch.rules.compiling.yaml_core import load_documents
from vaultwatch.rules.files import name_of, rule_files

_T = TypeVar("_T")
PLACEHOLDERS = "placeholders"
OVERRIDES = "overrides"
PLACEHOLDERS_FILES = (f"{PLACEHOLDERS}.yaml", f"{PLACEHOLDERS}.yml")
"""Either name; the shipped files have the first, because other tools take every .yml below a folder for a rule."""
_SUFFIXES = frozenset({".yml", ".yaml"})
_MOST_LINES = 3
_MOST_NODES = 100_000  # of a document, with its aliases followed: a few lines of YAML can expand to billions of values


class Document(NamedTuple):
    """One YAML document that is a mapping, with the file it is in; `where` names the file in errors."""

    where: str
    path: Path
    found: dict[str, Any]


class Faults:
    """Collects what is wrong with files of rules, so that a user gets all of it at once."""

    def __init__(self) -> None:
        """Begin without any."""
        self.errors: list[RuleError] = []

    def attempt(self, work: Callable[[], _T]) -> list[_T]:
        """Return the result of some work in a list, which is empty if that raised `RuleError`."""
        try:
            return [work()]
        except RuleError as error:
            self.errors.append(error)
            return []

    def report(self) -> None:
        """Raise what was collected.

        Raises:
            RuleError: The only error.
            RuleErrors: Each of several.
        """
        if len(self.errors) > 1:
            raise RuleErrors(self.errors)
        if self.errors:
            raise self.errors[0]


def read_documents(directory: Path, faults: Faults | None = None) -> Iterator[Document]:
    """Read the rules and filters of a folder and its subfolders.

    Args:
        directory: The folder.
        faults: Gets what is wrong with single files; without it, the first such error is raised.

    Raises:
        RuleError: The folder cannot be read, or without `faults` a file.
    """
    if directory.is_file():
        raise RuleError(f"{directory} is a file: name the folder that it is in")
    if not directory.is_dir():
        raise RuleError(f"{directory}: no such directory of rules (`shipped` names the shipped ones)")
    try:
        paths = list(rule_files(directory, _SUFFIXES))
    except OSError as error:
        raise RuleError(f"{error.filename}: {error.strerror}") from error
    for path in paths:
        where = name_of(path, directory)
        read = partial(_documents_of, path, directory, where)
        for found in [read()] if faults is None else faults.attempt(read):
            yield from found


def _documents_of(path: Path, directory: Path, where: str) -> list[Document]:
    if path.stem.lower() not in (PLACEHOLDERS, OVERRIDES):
        return list(_mappings(path, where))
    _refuse_misplaced(path, directory, where)
    return []


def located(error: RuleError, documents: Sequence[Document]) -> RuleError:
    """Return an error with the place of what it is about: a file, and the line if one is found.

    Args:
        error: Its text names no file.
        documents: A rule, and the filters that are applied to it.
    """
    for document in documents if error.about else ():
        if numbers := lines_of(document.path, error.about)[:_MOST_LINES]:
            return RuleError(f"{document.where}, line {' or '.join(map(str, numbers))}: {error}")
    return RuleError(f"{' with '.join(document.where for document in documents)}: {error}")


def read_placeholders(directory: Path) -> dict[str, list[Any]]:
    """Read a folder's placeholders.yaml, or placeholders.yml; a folder without one has no placeholders.

    Raises:
        RuleError: The file cannot be read, or is not a mapping of names to lists; or there are both.
    """
    paths = [path for path in (directory / name for name in PLACEHOLDERS_FILES) if path.exists()]
    if not paths:
        return {}
    if len(paths) > 1:
        raise RuleError(f"{directory}: both {' and '.join(path.name for path in paths)}: keep one")
    path = paths[0]
    documents = load_documents(path, path.name) or [None]
    if len(documents) > 1:
        raise RuleError(f"{path.name}: more than one document")
    found = documents[0] or {}
    if not isinstance(found, dict):
        raise RuleError(f"{path.name}: not a mapping of names to lists")
    for name, listed in found.items():
        plain = isinstance(listed, list) and all(isinstance(item, str | int | float) for item in listed)
        if not isinstance(name, str) or not plain:
            raise RuleError(f"{path.name}: {name}: not a list of texts or numbers")
    return found


def _mappings(path: Path, where: str) -> Iterator[Document]:
    documents = [found for found in load_documents(path, where) if found is not None]
    if not documents:
        raise RuleError(f"{where}: empty")
    for found in documents:
        if not isinstance(found, dict):
            raise RuleError(f"{where}: not a mapping")
        _refuse_bombs(found, where)
        yield Document(where, path, found)


def _refuse_misplaced(path: Path, directory: Path, where: str) -> None:
    stem = path.stem.lower()
    read = [directory / name for name in (PLACEHOLDERS_FILES if stem == PLACEHOLDERS else (f"{OVERRIDES}.yml",))]
    if path not in read:
        raise RuleError(f"{where}: {stem} are read from {read[0]} only")


def _refuse_bombs(found: Any, where: str) -> None:
    waiting, seen = [found], 0
    while waiting:
        item, seen = waiting.pop(), seen + 1
        if seen > _MOST_NODES:
            raise RuleError(f"{where}: more than {_MOST_NODES:,} values, or one that contains itself")
        waiting += item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
