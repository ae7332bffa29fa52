"""Say which files of a folder were left out, because Vaultwatch itself has written them."""

from __future__ import annotations

from collections.abc import Mapping

import click

from vaultwatch.printable import one_line

MOST_NAMED = 100


def say_left_out(place: str, files: Mapping[str, str]) -> None:
    """Say it once for a place.

    Args:
        place: The folder or pattern.
        files: What Vaultwatch wrote, by the name of the file; there is one.
    """
    names = [f"{name} ({what})" for name, what in [*files.items()][:MOST_NAMED]]
    if others := len(files) - len(names):
        names.append(f"{others:,} more")
    click.echo(one_line(f"{place}: left out, because vaultwatch wrote it: {', '.join(names)}"), err=True)
