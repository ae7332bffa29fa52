"""Writes the shipped rules for each peer in its own form, and as a compiled pack: `python -m bench.peer_rules FOLDER`.

The pack has the rules that the peer takes, so that `check` is measured with the same ones. `peers.json` says how many
those are, and why the others are left out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import copy, rmtree

import yaml

from bench.rules import SHIPPED
from bench.sql import query, takes
from vaultwatch.reading.view import AUDIT_DERIVED
from vaultwatch.rules.conditions import Never, fields_of, leaves
from vaultwatch.rules.pack import CompiledRule, encode_pack, shipped_rules


def rsigma_takes(rule: CompiledRule) -> str:
    """Return why rsigma cannot evaluate a rule on entries as they are logged, or ""."""
    if rule.correlation:
        return "it counts a rule that is left out, or is an extension"
    derived = sorted(field for field in fields_of(rule.condition) if field.partition(".")[0] in AUDIT_DERIVED)
    if derived:
        return f"{derived[0]} is not logged"
    if any(isinstance(leaf, Never) for leaf in leaves(rule.condition)):
        return "a placeholder is empty"
    return ""


def sorted_out(
    rules: Sequence[CompiledRule], reason: Callable[[CompiledRule], str]
) -> tuple[list[CompiledRule], dict[str, str]]:
    """Return the rules that a peer takes, and the others with the reason.

    What only rules that are left out count is left out, too: it raises no alerts itself.
    """
    left_out = {rule.name: why for rule in rules if (why := reason(rule))}
    counted = {taken: set[str]() for taken in (True, False)}
    for rule in rules:
        if rule.correlation:
            counted[rule.name not in left_out].update(rule.correlation.rules)
    for name in sorted(counted[False] - counted[True]):
        left_out.setdefault(name, "it is only counted")
    return [rule for rule in rules if rule.name not in left_out], dict(sorted(left_out.items()))


def write(folder: Path) -> dict[str, dict[str, object]]:
    """Write the rules of each peer; return how many those are, and which are left out."""
    rules = [rule.compiled for rule in shipped_rules() if rule.service == "audit"]
    said: dict[str, dict[str, object]] = {}
    for peer, reason in (("rsigma", rsigma_takes), ("duckdb", takes)):
        taken, left_out = sorted_out(rules, reason)
        (folder / f"{peer}.json").write_bytes(encode_pack(taken))
        said[peer] = {"rules": len(taken), "left_out": left_out}
        if peer == "duckdb":
            (folder / "duckdb.sql").write_text(query(taken))
        else:
            _write_sigma(taken, folder)
    return said


def _write_sigma(rules: Sequence[CompiledRule], folder: Path) -> None:
    """Write the files of rules, and the pipeline that fills in the values of their placeholders."""
    sources = folder / "rsigma"
    rmtree(sources, ignore_errors=True)
    sources.mkdir()
    for rule in rules:
        copy(SHIPPED / f"{rule.name}.yml", sources)
    values = yaml.safe_load((SHIPPED / "placeholders.yaml").read_text())
    pipeline = {"name": "placeholders", "vars": values, "transformations": [{"type": "value_placeholders"}]}
    (folder / "rsigma.yml").write_text(yaml.safe_dump(pipeline))


def main(arguments: list[str]) -> int:
    """Run the command; return its exit status."""
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "peers.json").write_text(json.dumps(write(folder)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
