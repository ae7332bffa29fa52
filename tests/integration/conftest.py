"""The templates of a deployment and the bundle of the functions for this interpreter, built once for all tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def built() -> tuple[dict[str, Any], Path]:
    from testbed.build import build

    return build()


@pytest.fixture(scope="session")
def deployed_templates(built: tuple[dict[str, Any], Path]) -> dict[str, Any]:
    """The templates, with one address for each kind of e-mail."""
    return built[0]


@pytest.fixture(scope="session")
def bundle(built: tuple[dict[str, Any], Path]) -> Path:
    return built[1]
