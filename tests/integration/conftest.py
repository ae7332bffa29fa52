"""The deployment's templates and the functions' bundle for this interpreter: those of the demo, made once for both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def built() -> tuple[dict[str, Any], Path]:
    from demo.deployment import built

    return built()


@pytest.fixture(scope="session")
def deployed_templates(built: tuple[dict[str, Any], Path]) -> dict[str, Any]:
    """With one address for each kind of e-mail."""
    return built[0]


@pytest.fixture(scope="session")
def bundle(built: tuple[dict[str, Any], Path]) -> Path:
    return built[1]
