"""`make faults`: cause faults on the way of audit entries, and print what each cost.

Each row is one run with a new chain; with ROUNDS, one run has so many at random, the same ones for the same SEED. With
WRITE=1, the rows replace those of docs/guarantee.md.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from testbed.errors import TestbedError
from testbed.faults.chain import ENTRIES, Chain, Need, Outcome
from testbed.faults.faults import FAULTS, Fault, faults_of, impossible
from testbed.faults.live import version_on_path
from testbed.faults.table import HEAD, row_of, with_table

_PAGE = Path(__file__).parents[2] / "docs/guarantee.md"


def run(name: str, faults: list[Fault], *, live: bool = False) -> Outcome:
    """Cause faults one after the other under load, and return what they cost.

    Args:
        name: The name of the row.
        faults: The faults.
        live: Whether the `vault` or `bao` on PATH is the sender.
    """
    needs: set[Need] = {need for fault in faults for need in fault.needs} | ({"server"} if live else set())
    with TemporaryDirectory(prefix="vaultwatch-faults-") as folder, _chain(Path(folder), needs) as chain:
        for fault in faults:
            chain.sender.send(ENTRIES)
            chain.follow()
            fault.cause(chain)
        chain.sender.send(ENTRIES)
        return chain.outcome(name)


@contextmanager
def _chain(folder: Path, needs: Collection[Need]) -> Iterator[Chain]:
    if "aws" in needs:
        from testbed.faults.cloud import cloud  # moto, which takes seconds

        with cloud(folder, needs) as on_aws:
            yield on_aws
        return
    chain = Chain(folder, needs)
    try:
        yield chain
    finally:
        chain.stop()


def _outcomes(names: list[str], rounds: int, seed: int, live: bool) -> Iterator[Outcome]:
    if rounds:
        mixed = [name for name in names if FAULTS[name].is_mixed]
        chosen = random.Random(seed).choices(mixed, k=rounds)  # noqa: S311  the same for the same seed
        yield run(f"{rounds} at random, seed {seed}", [FAULTS[name] for name in chosen], live=live)
    else:
        yield from (run(name, [FAULTS[name]], live=live) for name in names)


def main() -> int:
    """Print a row for each run; return 1 if an entry or an alert is lost on both ways, or an entry is stored twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="Replace the table of docs/guarantee.md.")
    parser.add_argument("--only", action="append", choices=FAULTS, help="Cause only this fault; can be repeated.")
    parser.add_argument("--live", action="store_true", help="Use the vault or bao on PATH as the sender.")
    options = parser.parse_args()
    os.environ.update(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull, NO_PROXY="127.0.0.1")
    title, known, without = "", faults_of(live=options.live), impossible()
    if options.live:
        try:
            title = version_on_path()
        except TestbedError as error:
            print(f"not run: {error}", file=sys.stderr)
            return 2
    sender = "a real server is the sender" if options.live else "the sender is simulated"
    without |= {name: sender for name in options.only or () if name not in known}
    names = [name for name in options.only or known if name not in without]
    rows = [HEAD]
    print(HEAD)
    failed = False
    for outcome in _outcomes(names, options.rounds, options.seed, options.live):
        rows.append(row_of(outcome))
        print(rows[-1], flush=True)
        failed |= bool(outcome.lost or outcome.repeated or outcome.missed or outcome.again)
    for name, reason in without.items():
        print(f"not tried, because {reason}: {name}", file=sys.stderr)
    if options.write and not options.rounds and names == list(known):
        _PAGE.write_text(with_table(_PAGE.read_text(), rows, title))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
