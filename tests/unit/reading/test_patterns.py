"""The regexes of the product: every supported Python compiles them correctly, and hostile text takes linear time.

CPython before 3.11.5 compiles possessive quantifiers and atomic groups wrongly; Debian 12's python3 is 3.11.2.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import pytest

import vaultwatch
from bench import server_log
from vaultwatch.reading.records import read_audit_entry

KIB = 1024
DEEP = b'{"a":' * 5_000


def compiled(value: Any) -> Iterator[re.Pattern[Any]]:
    """Yield the patterns in a value of a module."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from compiled(item)


def patterns() -> dict[str, re.Pattern[Any]]:
    """Return every pattern of the product, by the names of its module and its variable."""
    modules = pkgutil.walk_packages(vaultwatch.__path__, "vaultwatch.")
    names = [module.name for module in modules if module.name != "vaultwatch.__main__"]
    return {
        f"{module} {name} {number}": pattern
        for module in names
        for name, value in vars(importlib.import_module(module)).items()
        for number, pattern in enumerate(compiled(value))
    }


def operations(parsed: Iterable[Any]) -> Iterator[str]:
    """Return the names of all operations of a parsed pattern."""
    for item in parsed:
        if isinstance(item, tuple | list | _parser.SubPattern):
            yield from operations(item)
        elif "NamedIntConstant" in type(item).__name__:
            yield str(item)


def uses_what_is_compiled_wrongly(pattern: str | bytes) -> bool:
    return any("POSSESSIVE" in name or "ATOMIC" in name for name in operations(_parser.parse(pattern)))


@pytest.mark.parametrize("pattern", ["a*+", "(?:ab)++", "(x(?:a?+|b))", "(?>a)", b"[a]{1,2}+b"])
def test_possessive_quantifiers_and_atomic_groups_are_recognised(pattern: str | bytes) -> None:
    assert uses_what_is_compiled_wrongly(pattern)


def test_no_pattern_uses_possessive_quantifiers_or_atomic_groups() -> None:
    found = patterns()
    assert len(found) > 40
    assert [name for name, one in found.items() if uses_what_is_compiled_wrongly(one.pattern)] == []


def peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


HOSTILE = {
    f"{kind}: {start!r} {body!r}": (read, (start, body))
    for kind, (read, parts) in server_log.HOSTILE.items()
    for start, body in parts
} | {
    f"entries: {start[-20:]!r} {body!r}": (read_audit_entry, (start, body))
    for start in (b"{", DEEP, DEEP + b'"')
    for body in (b"\\", b'\\"', b'"', b'"a",', b"{", b"\\u0000")
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_takes_no_more_memory_than_some_copies_of_it(name: str) -> None:
    """A repeated group takes 120 bytes of memory for each round to which it can backtrack."""
    read, part = HOSTILE[name]
    text = server_log.of_length(part, 8 * KIB)
    read(text)
    assert peak_bytes(partial(read, text)) < 40 * len(text)


@pytest.mark.parametrize("name", [name for name in HOSTILE if name.startswith("entries")])
def test_hostile_entries_do_not_hang(name: str) -> None:
    """In quadratic time, one of this length would take minutes."""
    read, part = HOSTILE[name]
    read(server_log.of_length(part, 1024 * KIB))
