"""Publishing stored notifications in batches, for the functions: what all destinations have in common."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from vaultwatch.dispatch.notification import Notification
from vaultwatch.errors import DeliveryError
from vaultwatch.notify.apart import write_apart
from vaultwatch.store import StoreError

Mark = Callable[[Sequence[str]], None]
Portion = TypeVar("Portion")
Content = TypeVar("Content")
_log = logging.getLogger(__name__)


class BatchPublisher(ABC, Generic[Portion]):
    """Publishes notifications, and marks them as sent, until its service fails or the time is up.

    A notification that is not published stays in the store for the next invocation of a function.

    Args:
        mark: Marks notifications as sent, by their ids.
        may_go_on: Returns whether there is time for another call.

    Attributes:
        sent: How many notifications the service has accepted.
        refused: Notifications that the service will never accept as they are, or that cannot be written.
        bare_count: How many alerts were published without their texts, which raised an exception or were refused.
        unmarked: Notifications that the service has accepted, and that could not be marked as sent.
        failure: Why the service has not accepted a notification, or why publishing stopped.
    """

    def __init__(self, mark: Mark, may_go_on: Callable[[], bool]) -> None:
        self._mark = mark
        self._may_go_on = may_go_on
        self.sent = 0
        self.bare_count = 0
        self.refused: list[Notification] = []
        self.unmarked: list[Notification] = []
        self.failure: DeliveryError | None = None

    @property
    def goes_on(self) -> bool:
        """Whether it would publish another notification."""
        return self.failure is None and self._may_go_on()

    def publish(self, notifications: Sequence[Notification]) -> None:
        """Publish notifications in order.

        Raises:
            StoreError: Some could not be marked as sent. All of them are published before: a notification that is
                published twice must not keep back another.
        """
        failure: StoreError | None = None
        for portion in self._portions(notifications):
            if not self.goes_on:
                break
            taken = self._send(portion)
            self.sent += len(taken)
            try:
                self._mark([notification.id for notification in taken])
            except StoreError as error:
                self.unmarked += taken
                failure = error
        if failure:
            raise failure

    def _written(self, notification: Notification, write: Callable[[Notification], Content]) -> Content | None:
        """Return what `write` makes of a notification; None, and it is refused, if it cannot be written at all."""
        try:
            content, bare_count = write_apart(notification, write)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  one notification must not prevent the others; it stays in the store
            _log.error("notification %s cannot be written: %s", notification.id, type(error).__name__)
            self.refused.append(notification)
            return None
        self.bare_count += bare_count
        return content

    @abstractmethod
    def _portions(self, notifications: Sequence[Notification]) -> Iterator[Portion]:
        """Divide notifications into portions that are sent and marked together."""

    @abstractmethod
    def _send(self, portion: Portion) -> list[Notification]:
        """Send a portion, and return the notifications that the service has accepted."""
