"""The signal to CloudFormation that a host is ready, or has failed."""

from __future__ import annotations

import logging
from enum import Enum

from botocore.exceptions import BotoCoreError, ClientError

from vaultwatch.hosts.install.host import Host
from vaultwatch.printable import one_line

_SENT = "/run/vaultwatch/signal"
"""The signal that was sent since the last boot."""
_MAX_ID = 64  # of a signal (CloudFormation API reference, SignalResource)

_log = logging.getLogger("vaultwatch.hosts.install")


class Signal(Enum):
    """What a host can signal."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"


def has_signalled(host: Host, signal: Signal) -> bool:
    """Return whether this was the last signal since the last boot."""
    return host.read(_SENT) == signal.value


def send_signal(host: Host, signal: Signal, reason: str = "") -> bool:
    """Signal once in each boot. A stack that waits for nothing refuses it; that is no error.

    The API has no field for a reason. The id, which CloudFormation shows in the events of the stack, has to be unique:
    it is the id of the instance, and as much of the reason as there is room for.

    Args:
        host: The host.
        signal: How the boot went.
        reason: Why it failed.

    Returns:
        Whether nothing is left to send. If AWS did not answer or refused it, a warning says why.
    """
    if has_signalled(host, signal):
        return True
    unique = f"{host.metadata('instance-id')} {one_line(reason)}".strip()[:_MAX_ID]
    values = host.values
    try:
        host.client("cloudformation").signal_resource(
            StackName=values["stack"], LogicalResourceId=values["group"], UniqueId=unique, Status=signal.value
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            _log.warning("the signal %s was not accepted: %s", signal.value, one_line(str(error)))
            return False
        _log.info("the stack waits for no signal")
    except BotoCoreError as error:
        _log.warning("the signal %s was not sent: %s", signal.value, one_line(str(error)))
        return False
    host.write(_SENT, signal.value)
    return True
