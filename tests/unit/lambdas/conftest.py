"""A fresh AWS for every test of a function."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.functions import World, world


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world(monkeypatch) as made:
        yield made
