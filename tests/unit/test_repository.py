"""The repository itself: what it must not name, and what each of its files must have."""

import ast
import os
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ["requirements.txt", "requirements-dev.txt", "requirements-convert.txt", "requirements-peers.txt"]
COMMAND = "requirements-command.txt"
"""What the command alone needs, made of the dependencies of the package."""

# Put together here, so that this file does not name them either.
REGISTRY_HOSTS = [
    ".".join(parts).encode()
    for parts in [
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("pypi", "python", "org"),
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
        ("deb", "debian", "org"),
        ("archive", "ubuntu", "com"),
        ("ports", "ubuntu", "com"),
        ("proxy", "golang", "org"),
        ("index", "crates", "io"),
        ("registry", "hub", "docker", "com"),
    ]
]
MACHINE_PATH = re.compile(rb"(?<![\w.%*-])/(?:work|opt/scratch|opt/wheels|root/\.pyenv)" + rb"/")
REQUIREMENT = re.compile(r"[a-z0-9.-]+==\S+(?: ; [^\\]+)?(?: --hash=sha256:[0-9a-f]{64})+")


def ignored_folders() -> set[str]:
    lines = (ROOT / ".gitignore").read_text().splitlines()
    return {".git", *(line.rstrip("/") for line in lines if line.endswith("/"))}


def committed_files() -> Iterator[Path]:
    """Return the files of the tree that .gitignore does not exclude, without using git."""
    ignored = ignored_folders()
    for folder, subfolders, names in os.walk(ROOT):
        subfolders[:] = [name for name in subfolders if name not in ignored and not name.endswith(".egg-info")]
        yield from (Path(folder, name) for name in names if name not in {".coverage", ".git"})


def requirements(name: str) -> list[str]:
    """Return one string for each requirement, with its hashes."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    lines = (re.sub(r"\s*#.*", "", line) for line in text.splitlines())
    return [" ".join(line.split()) for line in lines if line.strip()]


def pins(name: str) -> set[str]:
    return {re.sub(r" --hash=\S+", "", line) for line in requirements(name)}


def needed_by(package: str) -> set[str]:
    """Return the names of the packages that an installed one needs on this machine, directly or not."""
    found, left = set[str](), [package]
    while left:
        for line in distribution(left.pop()).requires or ():
            needed = Requirement(line)
            name = canonicalize_name(needed.name)
            if name not in found and (needed.marker is None or needed.marker.evaluate({"extra": ""})):
                found.add(name)
                left.append(name)
    return found


def direct(name: str) -> set[str]:
    """Return the names in a requirements*.in."""
    lines = (ROOT / name).read_text().splitlines()
    return {re.split(r"[\[=\s]", line)[0] for line in lines if line and not line.startswith(("#", "-c"))}


def test_the_tree_is_found() -> None:
    files = set(committed_files())
    assert Path(__file__) in files
    assert not [path for path in files if {".venv", ".git"} & set(path.relative_to(ROOT).parts)]


@pytest.mark.parametrize("host", REGISTRY_HOSTS, ids=bytes.decode)
def test_no_file_names_a_package_registry(host: bytes) -> None:
    assert [path for path in committed_files() if host in path.read_bytes()] == []


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    assert [path for path in committed_files() if MACHINE_PATH.search(path.read_bytes())] == []


@pytest.mark.parametrize("name", [*REQUIREMENTS, COMMAND])
def test_every_requirement_is_pinned_and_hashed(name: str) -> None:
    assert requirements(name)
    assert [line for line in requirements(name) if not REQUIREMENT.fullmatch(line)] == []


def test_both_requirement_files_pin_the_same_versions() -> None:
    by_name: dict[str, set[str]] = {}
    for pin in pins("requirements.txt") | pins("requirements-dev.txt"):
        by_name.setdefault(pin.split("==")[0], set()).add(pin.split(" ; ")[0])
    shared = {pin.split("==")[0] for pin in pins("requirements.txt")}
    assert [versions for name, versions in by_name.items() if name in shared and len(versions) > 1] == []


def test_the_command_alone_is_installed_with_the_versions_that_are_tested() -> None:
    """`make check FILE=LOG` and the container install nothing else, so whatever is missing here is missing there."""
    command = set(requirements(COMMAND))
    assert command <= set(requirements("requirements.txt"))
    installed = {line.split("==")[0] for line in command}
    assert needed_by("vaultwatch") <= installed


@pytest.mark.parametrize("name", [name.replace(".txt", ".in") for name in REQUIREMENTS])
def test_every_direct_requirement_has_its_reason(name: str) -> None:
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith(("#", "-c"))]
    assert lines
    assert [line for line in lines if not re.search(r"\S\s+# \w", line)] == []


def test_what_the_package_needs_is_pinned_for_the_tests() -> None:
    """Set-up runs `pip check`: the pinned versions are ones that the package accepts.

    The extra `convert` pins its own packages: they need another version of pySigma than the rest is tested with.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [needed for extra, needed in project["optional-dependencies"].items() if extra != "convert"]
    needed = [*project["dependencies"], *(one for extra in extras for one in extra)]
    assert {re.split("[<>=]", one)[0] for one in needed} <= direct("requirements.in")


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize(
    "path", sorted((ROOT / "vaultwatch").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no docstring"


def test_every_package_of_the_cdk_that_is_imported_is_read_by_the_type_checker() -> None:
    """One that is not listed there would have no types, without a word."""
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
    [listed] = [set(one["module"]) for one in overrides if one.get("follow_imports") == "normal"]
    imported = {"aws_cdk"}
    for path in (path for folder in ("stacks", "tests", "testbed", "cost") for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "aws_cdk":
                imported |= {f"aws_cdk.{name.name}" for name in node.names if name.name.islower()}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("aws_cdk."):
                imported.add(str(node.module))
    assert listed == imported
