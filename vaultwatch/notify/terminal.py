"""Notifications on the terminal of whoever has started `watch`."""

from __future__ import annotations

from typing import TextIO

from vaultwatch.audience import EVERYBODY, Audience
from vaultwatch.dispatch.notification import NOTIFIED, Disposition, Notification
from vaultwatch.errors import SinkRefused
from vaultwatch.notify.apart import content_of
from vaultwatch.notify.text import email_text
from vaultwatch.rules.facts import Level


class Terminal:
    """A `vaultwatch.notify.sink.Sink` that writes what an e-mail says.

    A terminal that was closed does not come back: nothing waits for it.

    Args:
        stream: Where to write.
        minimum_level: The lowest level of the alerts that it shows.
        audience: Who reads it.
    """

    name = "terminal"
    dispositions: frozenset[Disposition] = NOTIFIED

    def __init__(self, stream: TextIO, minimum_level: Level = Level.LOW, audience: Audience = EVERYBODY) -> None:
        self.minimum_level = minimum_level
        self._stream = stream
        self._audience = audience

    def send(self, notification: Notification) -> None:
        """Write the notification; see `Sink.send`."""
        text = content_of(notification, self._text)
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError) as error:
            raise SinkRefused(f"the terminal cannot be written: {getattr(error, 'strerror', None) or error}") from error

    def _text(self, notification: Notification) -> str:
        encoding = self._stream.encoding or "ascii"
        return f"{email_text(notification, self._audience)}\n".encode(encoding, "backslashreplace").decode(encoding)
