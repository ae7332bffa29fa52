"""The threat model names a test for each protection: each of them exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REFERENCES = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs/security.md").read_text())


def test_the_threat_model_names_tests() -> None:
    assert len(REFERENCES) > 10


@pytest.mark.parametrize(("file", "name"), REFERENCES)
def test_a_named_test_exists(file: str, name: str) -> None:
    text = (ROOT / file).read_text()
    assert (f"def {name}(" if name else "def test_") in text
