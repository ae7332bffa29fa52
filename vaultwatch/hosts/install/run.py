"""All steps in their order, and the signal at the end."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from vaultwatch.errors import InstallError, VaultwatchError
from vaultwatch.hosts.install import names, packages, server, services, volumes
from vaultwatch.hosts.install.host import Host, Step
from vaultwatch.hosts.install.readiness import READY
from vaultwatch.hosts.install.signals import Signal, send_signal

STEPS = (
    packages.USER,
    packages.INSTALLED,
    packages.SNAPS,
    volumes.ATTACHED,
    volumes.FORMATTED,
    volumes.MOUNTED,
    volumes.GROWN,
    volumes.RESERVED,
    names.NAME,
    server.SERVER,
    services.FILES,
    services.CERTIFICATE,
    services.RUNNING,
    READY,
)
FAILED_AFTER_SECONDS = 20 * 60
"""How long after a boot a host that is not ready says that it has failed; until then it tries again."""

_log = logging.getLogger("vaultwatch.hosts.install")


def boot(host: Host, uptime_seconds: float, steps: Sequence[Step] = STEPS) -> None:
    """Set up the host, and signal to CloudFormation how it went.

    Args:
        host: The host.
        uptime_seconds: For how long it has been running.
        steps: The steps.

    Raises:
        VaultwatchError: A step failed, or the signal was not sent. systemd runs the unit again soon, and that run goes
            on there.
    """
    try:
        install(host, steps)
    except VaultwatchError as error:
        if uptime_seconds > FAILED_AFTER_SECONDS:
            send_signal(host, Signal.FAILURE, str(error))
        raise
    if not send_signal(host, Signal.SUCCESS):
        raise InstallError("the signal that the host is ready was not sent")


def install(host: Host, steps: Sequence[Step] = STEPS) -> None:
    """Run each step that is not done.

    Raises:
        InstallError: A step failed, or was not done after it ran; its name is in the text.
    """
    for step in steps:
        try:
            if step.done(host):
                continue
            _log.info("%s: begun", step.name)
            step.run(host)
            if not step.done(host):
                raise InstallError("has run, but is not done")
        except VaultwatchError as error:
            raise InstallError(f"{step.name}: {error}") from error
        _log.info("%s: done", step.name)
