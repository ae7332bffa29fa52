"""STS on loopback, for every test that needs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.authority import StsStandIn, sts_stand_in


@pytest.fixture
def sts() -> Iterator[StsStandIn]:
    with sts_stand_in() as made:
        yield made
