"""A fresh AWS for every test of a function."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.functions import World, world


@pytest.fixture
def aws(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world(monkeypatch, few=request.node.get_closest_marker("every_rule") is None) as made:
        yield made
