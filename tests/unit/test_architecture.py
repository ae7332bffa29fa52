"""docs/architecture.md fits the code: its rooms are those of the import contract, and its paths exist."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text()


def contract() -> list[set[str]]:
    """Return the layers of the import contract, each with its rooms, the highest first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (one["layers"] for one in contracts if one["type"] == "layers")
    return [set(re.findall(r"\w+", layer)) for layer in layers]


def rows() -> list[set[str]]:
    section = PAGE.partition("\n## Rooms\n")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [{name.strip("`/").removesuffix(".py") for name in re.findall("`[^`]+`", cell)} for cell in cells]


def test_the_table_of_rooms_is_the_import_contract() -> None:
    assert rows() == contract()


def test_every_path_on_the_page_exists() -> None:
    named = set(re.findall(r"`((?:[\w.]+/)*[\w.]+(?:/|\.py))`", PAGE))
    assert named
    places = [ROOT, ROOT / "vaultwatch"]
    assert [
        name
        for name in sorted(named - {"rules/fixtures/NAME/"})
        if not any((place / name).exists() for place in places)
    ] == []


def test_every_room_of_the_package_is_named() -> None:
    package = ROOT / "vaultwatch"
    rooms = {path.parent.name for path in package.glob("*/__init__.py")} | {
        path.stem for path in package.glob("[a-z]*.py")
    }
    assert rooms == set().union(*rows())
