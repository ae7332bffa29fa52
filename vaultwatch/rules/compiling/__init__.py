"""Compiles Sigma rules: the only package that imports pySigma, and that nothing which runs on records imports.

compile_directories([Path("rules")])  -> rules as data, filters applied, placeholders filled
compile_pack([Path("rules")])         -> the same as canonical JSON
"""

from vaultwatch.rules.compiling.collection import compile_directories, compile_pack

__all__ = ["compile_directories", "compile_pack"]
