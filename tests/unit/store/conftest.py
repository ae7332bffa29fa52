"""Every adapter of the Store contract, which can be opened again as after a kill."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.support.dynamodb import SEAL, TABLE, local_aws, make_client, make_table
from vaultwatch.dispatch.notification import ALL_DISPOSITIONS
from vaultwatch.dispatch.routes import Route
from vaultwatch.rules.facts import Level
from vaultwatch.store import Store
from vaultwatch.store.dynamodb.adapter import DynamoStore
from vaultwatch.store.sqlite import SqliteStore

ROUTES = (Route("people"), Route("archive", ALL_DISPOSITIONS, Level.INFORMATIONAL))

Opener = Callable[..., Store]


@pytest.fixture(params=["sqlite", "dynamodb"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Open the same store any number of times; add a new adapter to `params`."""
    opened: list[Store] = []

    def opener(routes: Sequence[Route] = ROUTES) -> Store:
        if request.param == "sqlite":
            opened.append(SqliteStore(tmp_path / "state" / "alerts.sqlite", routes))
        else:
            opened.append(DynamoStore(make_client("dynamodb"), TABLE, SEAL, routes))
        return opened[-1]

    with local_aws() if request.param == "dynamodb" else nullcontext():
        if request.param == "dynamodb":
            make_table(make_client("dynamodb"))
        yield opener
        for store in opened:
            store.close()


@pytest.fixture
def store(open_store: Opener) -> Store:
    return open_store()
