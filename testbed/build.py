"""Builds the synthesized templates and the bundle of the functions for the local AWS, once for the same sources."""

from __future__ import annotations

import compileall
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from testbed.errors import TestbedError
from vaultwatch.errors import VaultwatchError

ROOT = Path(__file__).resolve().parents[1]
EMAIL = "security@example.org"
_KEPT = ROOT / ".bundle" / "testbed"
_SOURCES = ("app.py", "assets", "cdk.json", "lambdas", "requirements-dev.txt", "rules", "stacks", "vaultwatch")
_SUFFIX = ".template.json"
_HINT = "`make demo MODE=watch` needs neither Node.js nor packages from the network"


def build() -> tuple[dict[str, Any], Path]:
    """Build the templates and the bundle, unless they exist for the present sources.

    Returns:
        The templates by the name of their stack, and the folder of the functions' bundle for this interpreter; that of
        the function `sign` is beside it.

    Raises:
        TestbedError: If a program that the build needs is missing.
    """
    folder = _KEPT / fingerprint()
    _KEPT.mkdir(parents=True, exist_ok=True)
    with _KEPT.with_suffix(".lock").open("w") as lock:  # two processes at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _build(folder)
    templates = {
        path.name.removesuffix(_SUFFIX): json.loads(path.read_bytes()) for path in folder.glob(f"templates/*{_SUFFIX}")
    }
    return templates, folder / "code"


def fingerprint() -> str:
    """Return the SHA-256 over all their sources and this file."""
    from stacks.bundling import Target

    found = hashlib.sha256(Target.running().name.encode())
    for path in [Path(__file__), *_source_files()]:
        content = path.read_bytes()
        found.update(f"{path.relative_to(ROOT)}\0{len(content)}\0".encode() + content)
    return found.hexdigest()[:32]


def _source_files() -> Iterator[Path]:
    for name in _SOURCES:
        files = sorted((ROOT / name).rglob("*")) if (ROOT / name).is_dir() else [ROOT / name]
        yield from (path for path in files if path.is_file() and path.suffix != ".pyc")


def _build(folder: Path) -> None:
    """Build in a scratch folder and rename it, so that the result is complete or absent; delete older ones."""
    if shutil.which("node") is None:
        raise TestbedError(f"the CDK synthesizes the templates, and it needs Node.js 18 or later; {_HINT}")
    print("building the CloudFormation templates and the bundle of the functions: ten seconds, once", flush=True)
    shutil.rmtree(_KEPT, ignore_errors=True)
    _KEPT.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=_KEPT))
    try:
        # In a session of its own: Ctrl-C would end the CDK's Node.js process, which then prints a traceback.
        with ProcessPoolExecutor(1, get_context("spawn"), initializer=os.setsid) as apart:
            apart.submit(_synthesize_and_bundle, scratch).result()
        scratch.rename(folder)
    except VaultwatchError as error:
        raise TestbedError(f"{error}; {_HINT}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _synthesize_and_bundle(folder: Path) -> None:
    os.environ["CDK_VALIDATION"] = "false"  # seven seconds; `make synth` and the tests validate
    os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "18,20")
    import app
    from stacks.bundling import WITH_CERTIFICATES, Target, build_bundle

    settings: Mapping[str, Any] = {
        "alert_emails": [EMAIL],
        "operations_emails": [EMAIL],
        "slack": True,
        "vault": "external",  # the local AWS runs no instances
        "log_server": "external",
    }
    context = {"aws:cdk:bundling-stacks": [], "vaultwatch": settings}
    app.build(context, outdir=str(folder / "templates")).synth()
    build_bundle(Target.running(), folder / "code")
    build_bundle(Target.running(), folder / "code-sign", packages=WITH_CERTIFICATES)
    compileall.compile_dir(folder, quiet=2)  # not by each process of each function, which takes two seconds
