"""Compile Sigma rules. Only this package imports pySigma, and no code that evaluates records imports it.

compile_directories([Path("rules")])    rules as data, with filters applied and placeholders filled in
compile_pack([Path("rules")])           the same as canonical JSON
compile_silenced([Path("rules")])       rules that match what filters silence
lint(rules, [Path("rules")])            what compiles, but can never match
"""

from vaultwatch.rules.compiling.collection import (
    compile_directories,
    compile_few,
    compile_pack,
    compile_silenced,
    read_all,
    selections_of,
)
from vaultwatch.rules.compiling.documents import PLACEHOLDERS_FILES, Document, read_placeholders
from vaultwatch.rules.compiling.lint import Finding, lint
from vaultwatch.rules.compiling.overrides import read_overrides

__all__ = [
    "PLACEHOLDERS_FILES",
    "Document",
    "Finding",
    "compile_directories",
    "compile_few",
    "compile_pack",
    "compile_silenced",
    "lint",
    "read_all",
    "read_overrides",
    "read_placeholders",
    "selections_of",
]
