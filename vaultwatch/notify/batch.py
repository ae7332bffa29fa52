"""Publishing stored notifications in batches, for the functions: what all destinations have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from vaultwatch.dispatch.notification import Notification
from vaultwatch.errors import DeliveryError
from vaultwatch.store import StoreError

Mark = Callable[[Sequence[str]], None]
Portion = TypeVar("Portion")


class BatchPublisher(ABC, Generic[Portion]):
    """Publishes notifications, and marks them as sent, until its service fails once or the time is up.

    A notification that is not published stays in the store for the next invocation of a function.

    Args:
        mark: Marks notifications as sent, by their ids.
        may_go_on: Returns whether there is time for another call.

    Attributes:
        sent: How many notifications the service has accepted.
        refused: Notifications that the service will never accept as they are.
        failure: Why publishing stopped, if the service failed.
    """

    def __init__(self, mark: Mark, may_go_on: Callable[[], bool]) -> None:
        self._mark = mark
        self._may_go_on = may_go_on
        self.sent = 0
        self.refused: list[Notification] = []
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
        unmarked: StoreError | None = None
        for portion in self._portions(notifications):
            if not self.goes_on:
                break
            taken = self._send(portion)
            self.sent += len(taken)
            try:
                self._mark([notification.id for notification in taken])
            except StoreError as error:
                unmarked = error
        if unmarked:
            raise unmarked

    @abstractmethod
    def _portions(self, notifications: Sequence[Notification]) -> Iterator[Portion]:
        """Divide notifications into portions that are sent and marked together."""

    @abstractmethod
    def _send(self, portion: Portion) -> list[Notification]:
        """Send a portion, and return the notifications that the service has accepted."""
