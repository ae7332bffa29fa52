"""Every stack of a deployment, synthesized once for all tests, without the functions' code, which has its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
Template = dict[str, Any]
NOTIFIED = {"alert_emails": ["a@example.org"], "operations_emails": ["o@example.org"], "slack": True}
"""Settings with which nothing is left to warn of."""


def _node_major() -> str:
    if shutil.which("node") is None:
        pytest.exit("tests/stacks: Node.js is required; aws-cdk-lib runs on it", returncode=1)
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    return version.lstrip("v").partition(".")[0]


# The CDK's own validation of templates takes seven seconds; one test turns it on.
os.environ["CDK_VALIDATION"] = "false"
os.environ["JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION"] = _node_major()


def synthesize(outdir: Path, settings: Mapping[str, Any] | None = None) -> dict[str, Template]:
    """Return the templates of a deployment with these settings, by the name of the stack without the deployment."""
    import app

    context = {"aws:cdk:bundling-stacks": [], "vaultwatch": dict(settings or {})}
    app.build(context, outdir=str(outdir)).synth()
    found = sorted(outdir.glob("*.template.json"))
    deployment = (settings or {}).get("deployment", "vaultwatch")
    return {path.name.split(".")[0].removeprefix(f"{deployment}-"): json.loads(path.read_text()) for path in found}


@pytest.fixture(scope="session")
def outdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cdk.out")


@pytest.fixture(scope="session")
def templates(outdir: Path) -> dict[str, Template]:
    """The templates with default settings, Slack, and one address for each kind of e-mail."""
    return synthesize(outdir, NOTIFIED)


@pytest.fixture(scope="session")
def archive(templates: dict[str, Template]) -> Template:
    return templates["archive"]


@pytest.fixture(scope="session")
def alerting(templates: dict[str, Template]) -> Template:
    return templates["alerting"]


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this repository's sources, with the wheels that are already downloaded."""
    root = tmp_path_factory.mktemp("sources")
    for folder in ("assets", "lambdas", "rules", "stacks", "vaultwatch"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("app.py", "cdk.json", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    wheels = ROOT / ".bundle/wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    (root / ".bundle").mkdir()
    (root / ".bundle/wheels").symlink_to(wheels)
    return root


@pytest.fixture
def synthesized(tmp_path: Path) -> Callable[..., dict[str, Template]]:
    """The templates with other settings, where somebody is notified unless they say otherwise."""
    return lambda **settings: synthesize(tmp_path, {**NOTIFIED, **settings})
