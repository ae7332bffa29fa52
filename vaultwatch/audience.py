"""Whom notifications are for: what their texts need to know of the deployment."""

from __future__ import annotations

import re
from datetime import UTC, tzinfo

import msgspec

from vaultwatch.alerts import Alert
from vaultwatch.reading.identity import parse_time

_WORD = re.compile(r"\w[\w.:+-]{0,99}", re.ASCII)  # needs no quoting in a shell, and cannot be an option
_DIGEST = re.compile(r"[0-9a-f]{64}")
_OF_WORKFLOW = re.compile(r"([0-9a-f][0-9a-f-]{35})\.(?:un)?authed\.workflow\.")  # behind the id of its execution
S3 = "s3://"
"""How the address of a bucket begins."""


class Audience(msgspec.Struct, frozen=True):
    """The people of one deployment.

    Attributes:
        zone: The time zone in which they read times.
        place: Where `vaultwatch search` finds the log: a folder, or `s3://` and the archive bucket; "" if unknown.
    """

    zone: tzinfo = UTC
    place: str = ""

    @property
    def archive(self) -> str:
        """The address of the archive bucket; "" if the log is in a folder, or its place is unknown."""
        return self.place if self.place.startswith(S3) else ""

    def search_command(self, alert: Alert) -> str:
        """Return the command that prints the entries of an alert, "" if there is none.

        An audit entry is found by its request id; a server-log message, and an entry without one, by its time.
        """
        has_id = alert.service == "audit" and not _DIGEST.fullmatch(alert.event_key)
        of_workflow = _OF_WORKFLOW.match(alert.event_key)
        text = of_workflow[1] if of_workflow else alert.event_key if has_id else alert.time
        if not self.place or not _WORD.fullmatch(text) or (self.archive and not _is_time(alert.time)):
            return ""
        when = f" --time {alert.time}" if self.archive else ""
        return f"vaultwatch search {text}{when} {self.place}"


def _is_time(text: str) -> bool:
    return bool(_WORD.fullmatch(text)) and parse_time(text) is not None


EVERYBODY = Audience()
"""Of a deployment of which nothing is known: times in UTC."""
