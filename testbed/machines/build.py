"""Builds what machines need: templates with hosts, and the host bundle for the Python of the base tree."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from testbed.build import EMAIL, ROOT, build, fingerprint
from testbed.machines.tree import ARCHITECTURE, PYTHON

VERSION = "2.6.2"
"""The version of OpenBao that the templates name; the release is one of `releases`."""
_KEPT = ROOT / ".bundle" / "machines"
_SUFFIX = ".template.json"
_NO_BUNDLE = "0" * 64
"""The digest of the host bundle in templates that are synthesized without one."""


class BuiltHosts(NamedTuple):
    """What was built.

    Attributes:
        templates: The templates by the name of their stack.
        code: The folder of the functions' bundle.
        bundle: The host bundle, whose digest is in the templates.
    """

    templates: dict[str, Any]
    code: Path
    bundle: Path


def build_hosts(release_sha256: str, nodes: int = 1) -> BuiltHosts:
    """Build templates with a log server and nodes of OpenBao, unless they exist for the present sources.

    Args:
        release_sha256: The SHA-256 of the release that the nodes will install.
        nodes: The number of nodes.

    Raises:
        TestbedError: A program that the build needs is missing.
    """
    _, code = build()
    own = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    folder = _KEPT / "-".join((fingerprint()[:16], own[:16], release_sha256[:16]))
    _KEPT.mkdir(parents=True, exist_ok=True)
    with _KEPT.with_suffix(".lock").open("w") as lock:  # two processes at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            shutil.rmtree(_KEPT)
            folder.mkdir(parents=True)
        bundle, synthesized = folder / "hosts.zip", folder / f"templates-{nodes}"
        _build(bundle, _bundle)
        _build(synthesized, _synthesize, release_sha256, nodes)
        digest = hashlib.sha256(bundle.read_bytes()).hexdigest()
        texts = {path.name: path.read_text() for path in synthesized.glob(f"*{_SUFFIX}")}
    templates = {
        name.removesuffix(_SUFFIX): json.loads(text.replace(_NO_BUNDLE, digest)) for name, text in texts.items()
    }
    return BuiltHosts(templates, code, bundle)


def _build(wanted: Path, how: Callable[..., None], *arguments: Any) -> None:
    """Build a file or a folder unless it exists; it is complete or absent."""
    if wanted.exists():
        return
    scratch = Path(tempfile.mkdtemp(dir=wanted.parent))
    try:
        with ProcessPoolExecutor(1, get_context("spawn"), initializer=os.setsid) as apart:
            apart.submit(how, scratch / wanted.name, *arguments).result()
        (scratch / wanted.name).rename(wanted)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _bundle(file: Path) -> None:
    from stacks.bundling import Target
    from stacks.host_bundle import build_host_bundle

    build_host_bundle(Target(PYTHON, ARCHITECTURE), file)


def _synthesize(folder: Path, release_sha256: str, nodes: int) -> None:
    os.environ["CDK_VALIDATION"] = "false"
    os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "18,20")
    import app

    settings: Mapping[str, Any] = {
        "alert_emails": [EMAIL],
        "operations_emails": [EMAIL],
        "slack": True,
        "vault": "openbao",
        "vault_nodes": nodes,
        "openbao_version": VERSION,
        "openbao_sha256": release_sha256,
    }
    app.build({"aws:cdk:bundling-stacks": [], "vaultwatch": settings}, outdir=str(folder)).synth()
