"""Generates any number of Sigma rules, to measure the cost of a rule: `python -m bench.rules 1000 DIR PACK`.

Four kinds in turn: the start of a path, its end, a text within it, a path below a mount of one type. Most differ from
the corpus's paths only in their last part, so that the index cannot exclude them early; the first four match.
"""

from __future__ import annotations

import argparse
import uuid
from collections.abc import Callable
from pathlib import Path

from bench.world import DATABASE, KV, PKI, SECRET_NAMES, STAGES, TEAMS, TRANSIT

GENERATED = "bench_rule_"
"""What the names of the generated rules begin with."""
SHIPPED = Path(__file__).parent.parent / "rules"
TEMPLATE = """\
title: Bench rule {number}
id: {id}
name: {name}
status: test
description: One of many generated rules, to measure their cost.
references:
  - https://developer.hashicorp.com/vault/docs/audit
author: Vaultwatch
date: 2026-11-21
tags:
  - attack.credential-access
logsource:
  product: vault
  service: audit
detection:
  selection:
{detection}
  condition: selection
falsepositives:
  - The bench itself
level: medium
"""


def _start(number: int, part: str) -> dict[str, str]:
    mount = KV[number % len(KV)].point
    return {"request.path|startswith": f"{mount}data/{part}", "request.operation": "read"}


def _end(number: int, part: str) -> dict[str, str]:
    return {"request.path|endswith": f"/{part}", "request.operation": "read"}


def _within(number: int, part: str) -> dict[str, str]:
    return {"request.path|contains": f"/data/{part}", "request.operation": "update"}


def _below_mount(number: int, part: str) -> dict[str, str]:
    mount = (KV[0], PKI[0], TRANSIT[0], DATABASE[0])[number % 4]
    return {"mount_type": mount.type, "mount_path|startswith": f"data/{part}", "request.operation": "read"}


_KINDS: tuple[Callable[[int, str], dict[str, str]], ...] = (_start, _end, _within, _below_mount)
_MATCHING = (
    {"request.path|startswith": "certs/web/issue/risk", "request.operation": "update"},
    {"request.path|endswith": "internal/ui/mounts", "request.operation": "read"},
    {"request.path|contains": "/role/risk-live", "request.operation": "update"},
    {"mount_type": "database", "mount_path|startswith": "creds/ledger-read", "request.operation": "read"},
)


def rule(number: int) -> str:
    """Return the text of one rule; the same number gives the same rule."""
    fields = _MATCHING[number] if number < len(_MATCHING) else _KINDS[number % len(_KINDS)](number, _part(number))
    detection = "\n".join(f"    {field}: '{value}'" for field, value in fields.items())
    unique = uuid.uuid5(uuid.NAMESPACE_URL, f"bench {number}")
    return TEMPLATE.format(number=number, name=_name(number), id=unique, detection=detection)


def _name(number: int) -> str:
    return f"{GENERATED}{number:05d}"


def _part(number: int) -> str:
    """Return the beginning of a secret's path with an end that no secret has: an x after the number."""
    team, stage = TEAMS[number % len(TEAMS)], STAGES[number // 4 % len(STAGES)]
    return f"{team}/{stage}/{SECRET_NAMES[number // 16 % len(SECRET_NAMES)]}-{number}x"


def write(count: int, folder: Path) -> None:
    """Write rules 0 to `count` - 1 into `folder`, one a file."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{_name(number)}.yml").write_text(rule(number))


def pack(total: int, folder: Path) -> bytes:
    """Compile a pack of `total` rules: the shipped ones, and generated ones written into `folder`."""
    from vaultwatch.rules.compiling import compile_directories, compile_pack

    write(total - len(compile_directories([SHIPPED])), folder)
    return compile_pack([SHIPPED, folder])


def main() -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.rules", description="Compile a pack of many rules.")
    parser.add_argument("total", type=int)
    parser.add_argument("folder", type=Path, help="where to write the sources of the rules")
    parser.add_argument("output", type=Path, help="the compiled pack")
    given = parser.parse_args()
    given.output.write_bytes(pack(given.total, given.folder))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
