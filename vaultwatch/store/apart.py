"""File alerts so that none can prevent the others from being filed, whatever its content makes our own code raise.

Nobody can prove that no text from a log makes dispatch, the store or an encoder raise. So after an unexpected exception
the alerts are halved until those that raise are alone. They are filed without any text from the log, and returned as
failed: people are notified of them, and their texts can be kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from vaultwatch.alerts import Alert, without_texts
from vaultwatch.dispatch.notification import Filing, Notification, Recorded
from vaultwatch.store import Store, StoreError, StoreRefused

File = Callable[[Alert], Filing]


class FailedAlert(NamedTuple):
    """An alert that could not be filed as it is, and the name of the exception."""

    alert: Alert
    error: str


class FiledApart(NamedTuple):
    """What was filed, the notifications that a sink wants, and the alerts that could not be filed as they are."""

    recorded: list[tuple[Filing, Recorded]]
    notifications: list[Notification]
    failed: list[FailedAlert]


def file_apart(store: Store, alerts: Sequence[Alert], file: File, now: float) -> FiledApart:
    """File alerts in a store.

    Args:
        store: The store.
        alerts: The alerts.
        file: Decides how an alert is counted.
        now: The present time.

    Raises:
        StoreError: The store failed. The call may be repeated.
        MemoryError: No memory is left.
    """
    filed = FiledApart([], [], [])
    of_event: dict[str, list[Alert]] = {}
    for alert in alerts:
        of_event.setdefault(alert.event_key, []).append(alert)
    _file_halves(store, list(of_event.values()), file, now, filed)
    return filed


def _file_halves(store: Store, groups: list[list[Alert]], file: File, now: float, filed: FiledApart) -> None:
    """File groups of alerts together, and after an exception each half by itself, down to single alerts."""
    alerts = [alert for group in groups for alert in group]
    error = _files(store, alerts, file, now, filed)
    if error is None:
        return
    if len(alerts) == 1:
        _file_bare(store, alerts[0], type(error).__name__, file, now, filed)
        return
    parts = groups if len(groups) > 1 else [[alert] for alert in alerts]
    middle = len(parts) // 2
    for half in (parts[:middle], parts[middle:]):
        _file_halves(store, half, file, now, filed)


def _file_bare(store: Store, alert: Alert, error: str, file: File, now: float, filed: FiledApart) -> None:
    filed.failed.append(FailedAlert(alert, error))
    bare_error = _files(store, [without_texts(alert, error)], file, now, filed)
    if isinstance(bare_error, StoreRefused):  # nothing in it comes from a log: the store refuses everything
        raise bare_error


def _files(store: Store, alerts: Sequence[Alert], file: File, now: float, filed: FiledApart) -> Exception | None:
    """Add what the store returns to `filed`; return the exception that the content of an alert raised, if any."""
    try:
        filings = [file(alert) for alert in alerts]
        recorded, notifications = store.file(filings, now)
    except StoreRefused as error:
        return error
    except (StoreError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001  whatever a log contains, it costs at most its own alert's texts
        return error
    filed.recorded.extend(zip(filings, recorded, strict=True))
    filed.notifications.extend(notifications)
    return None
