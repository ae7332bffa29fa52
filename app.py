"""Which stacks make up a deployment."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from aws_cdk import App, Tags

from stacks.alerting import AlertingStack
from stacks.archive import ArchiveStack
from stacks.bundling import ROOT
from stacks.log_server import LogServerStack
from stacks.network import NetworkStack
from stacks.vault import VaultStack
from vaultwatch.errors import VaultwatchError
from vaultwatch.printable import one_line
from vaultwatch.settings import Settings, read_settings


def build(context: Mapping[str, Any] | None = None, *, outdir: str = "cdk.out") -> App:
    """Compose the app with every stack.

    Args:
        context: Values that override the context of cdk.json.
        outdir: The folder into which `synth` will write.

    Returns:
        The app, ready to be synthesized.

    Raises:
        VaultwatchError: If a setting is wrong, a rule does not compile, or the code cannot be bundled.
    """
    # The CDK's command line passes the context of cdk.json itself; without it, the app reads that file here.
    known = json.loads((ROOT / "cdk.json").read_text())["context"]
    app = App(
        analytics_reporting=False, performance_reporting=False, context={**known, **(context or {})}, outdir=outdir
    )
    settings = read_settings(app.node.try_get_context("vaultwatch"))
    name = settings.deployment
    archive = ArchiveStack(app, f"{name}-archive", settings=settings)
    alerting = AlertingStack(app, f"{name}-alerting", settings=settings, archive=archive)
    if settings.log_server == "instance":
        _add_hosts(app, settings, archive, alerting)
    Tags.of(app).add("deployment", name)
    return app


def _add_hosts(app: App, settings: Settings, archive: ArchiveStack, alerting: AlertingStack) -> None:
    name = settings.deployment
    network = NetworkStack(app, f"{name}-network", settings=settings, operations=alerting.operations)
    log_server = LogServerStack(
        app, f"{name}-log-server", settings=settings, network=network, archive=archive, alerting=alerting
    )
    if settings.vault != "external":
        VaultStack(
            app,
            f"{name}-vault",
            settings=settings,
            network=network,
            archive=archive,
            alerting=alerting,
            log_server=log_server,
        )


if __name__ == "__main__":
    try:
        build(outdir=os.environ.get("CDK_OUTDIR", "cdk.out")).synth()
    except VaultwatchError as error:
        sys.exit(f"cdk synth: {one_line(str(error))}")
