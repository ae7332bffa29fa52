"""The threat model and the page of guarantees name tests: each of them exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("docs/security.md", "docs/guarantee.md")


def references(page: str) -> list[tuple[str, str]]:
    return re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / page).read_text())


REFERENCES = sorted({reference for page in PAGES for reference in references(page)})


@pytest.mark.parametrize("page", PAGES)
def test_the_page_names_tests(page: str) -> None:
    assert len(references(page)) > 10


@pytest.mark.parametrize(("file", "name"), REFERENCES)
def test_a_named_test_exists(file: str, name: str) -> None:
    text = (ROOT / file).read_text()
    assert (f"def {name}(" if name else "def test_") in text
