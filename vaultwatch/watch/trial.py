"""`watch --test-notification`: send a notification of no event through each sink that notifies people."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

from vaultwatch.alerts import Alert
from vaultwatch.dispatch.notification import Notification
from vaultwatch.errors import DeliveryError, SettingError
from vaultwatch.notify.alert_log import AlertLog
from vaultwatch.notify.sink import Sink
from vaultwatch.printable import one_line
from vaultwatch.rules.facts import Level, Service
from vaultwatch.watch.options import WatchOptions

_TITLE = "Test notification"
_NOTE = "This is a test: no alert was stored, and there is nothing to do."
_LONGEST_LINE = 500


def send_test(options: WatchOptions) -> int:
    """Send it, and print for each sink whether it was accepted. The alert log and the store do not get it.

    Returns:
        0 if every sink accepted it, else 1.

    Raises:
        SettingError: No sink that notifies people is set, or a setting cannot be used.
    """
    sinks = [sink for sink in options.sinks() if not isinstance(sink, AlertLog)]
    if not sinks:
        raise SettingError("--test-notification: neither Slack nor SNS is set")
    failures = list(_failures(sinks, _notification(options.source)))
    return 1 if failures else 0


def _failures(sinks: list[Sink], notification: Notification) -> Iterator[str]:
    for sink in sinks:
        with ExitStack() as stack:
            if (close := getattr(sink, "close", None)) is not None:
                stack.callback(close)
            try:
                sink.send(notification)
            except DeliveryError as error:
                sys.stderr.write(f"vaultwatch watch: {sink.name}: {one_line(str(error), _LONGEST_LINE)}\n")
                yield sink.name
            else:
                sys.stdout.write(f"{sink.name}: accepted the test notification\n")


def _notification(source: str) -> Notification:
    service: Service = "server" if source == "server" else "audit"
    now = time.time()
    return Notification(
        id=f"test-{now:.0f}", disposition="first", rule="test", title=_TITLE, level=Level.LOW, service=service,
        cluster="", created_at=now, group=f"test-{now:.0f}", alerts=(_alert(service),), note=_NOTE,
    )  # fmt: skip


def _alert(service: Service) -> Alert:
    """Return the alert, without time and event key: nothing would be found by them."""
    return Alert(
        id="0" * 32, rule="test", title=_TITLE, level=Level.LOW, service=service, time="", event_key="",
        outcome="succeeded", summary="Vaultwatch can reach you: somebody ran `vaultwatch watch --test-notification`",
        principal="vaultwatch", path="", namespace="", remote_address="", cluster="", node="", lane="", record={},
    )  # fmt: skip
