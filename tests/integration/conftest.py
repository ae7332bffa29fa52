"""The deployment's templates, the functions' bundle for this interpreter, and a local AWS wired by both."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

os.environ["CDK_VALIDATION"] = "false"  # seven seconds; tests/stacks has it on once
os.environ["JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION"] = "20"


@pytest.fixture(scope="session")
def deployed_templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """With one address for each kind of e-mail."""
    import app

    out = tmp_path_factory.mktemp("cdk.out")
    settings = {"alert_emails": ["a@example.org"], "operations_emails": ["o@example.org"]}
    app.build({"aws:cdk:bundling-stacks": [], "vaultwatch": settings}, outdir=str(out)).synth()
    suffix = ".template.json"
    return {path.name.removesuffix(suffix): json.loads(path.read_text()) for path in out.glob(f"*{suffix}")}


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from stacks.bundling import Target, build_bundle

    return build_bundle(Target.running(), tmp_path_factory.mktemp("bundle") / "code")
