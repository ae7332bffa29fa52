"""Runs a query on a corpus with DuckDB, and prints one JSON array of a rule and an id per match.

It needs nothing but the standard library and duckdb, because it runs in an environment of its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Run the command; return its exit status."""
    import duckdb

    query, corpus = arguments
    connection = duckdb.connect(config={"threads": 1, "preserve_insertion_order": False})
    *before, last = Path(query).read_text().replace("'CORPUS'", f"'{corpus}'").split(";\n")
    for statement in before:
        connection.execute(statement)
    for match in connection.execute(last).fetchall():
        print(json.dumps(match))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
