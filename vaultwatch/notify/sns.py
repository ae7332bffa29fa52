"""Amazon SNS: each notification is one message, with readable text for e-mail and JSON for machines.

Limits (SNS API reference, Publish): 256 KiB over all bodies and attributes; a subject of under 100 printable ASCII
characters. AWS suspends a subscription that gets more than ten mails a second, so the rate is limited.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import msgspec

from vaultwatch.audience import EVERYBODY, Audience
from vaultwatch.dispatch.notification import NOTIFIED, Disposition, Notification
from vaultwatch.errors import BOTO3_MISSING, DeliveryError, SettingError, SinkBusy, SinkRefused
from vaultwatch.notify import text
from vaultwatch.notify.apart import content_of, send_apart
from vaultwatch.notify.machine import machine_json
from vaultwatch.notify.sink import Pace
from vaultwatch.rules.facts import Level

MAIL_KEY = "mail_key"
"""The attribute with the key for which filter policies of e-mail subscriptions ask (`stacks.constructs.filters`)."""
MACHINE_PROTOCOLS = ("sqs", "lambda", "https", "firehose")
_BODY_LIMIT_BYTES = 250_000
# Limits of text and of JSON, which are escaped once more in the body: the first pair that fits is used.
_LIMITS_BYTES = ((30_000, 48_000), (15_000, 24_000), (8_000, 12_000))
_REFUSED = {"InvalidParameter", "InvalidParameterValue", "ParameterValueInvalid", "ValidationException"}
_BUSY_WAIT_SECONDS = 5.0

WriteMachineJson = Callable[[Notification, int], bytes]
"""Writes a notification as JSON of at most so many bytes."""


class SnsClient(Protocol):
    """The method of `boto3.client("sns")` that is used."""

    def publish(self, **kwargs: Any) -> Any:
        """Publish one message; raises botocore's errors."""
        ...


class SnsSink:
    """A `vaultwatch.notify.sink.Sink` that publishes to one topic.

    With `dispositions=ALL_DISPOSITIONS` it also publishes suppressed alerts, for a topic whose e-mail subscriptions
    filter on the attribute `disposition`.
    """

    def __init__(
        self,
        client: SnsClient,
        topic_arn: str,
        *,
        name: str = "sns",
        dispositions: frozenset[Disposition] = NOTIFIED,
        minimum_level: Level = Level.LOW,
        interval_seconds: float = 1.0,
        audience: Audience = EVERYBODY,
    ) -> None:
        """Prepare the sink.

        Args:
            client: boto3's client for SNS.
            topic_arn: The topic.
            name: The name under which the store remembers what this sink has accepted.
            dispositions: The dispositions that it publishes.
            minimum_level: The lowest level that it publishes.
            interval_seconds: The least time between two messages.
            audience: Whom it is for.
        """
        self.name = name
        self.dispositions = dispositions
        self.minimum_level = minimum_level
        self._client = client
        self._topic_arn = topic_arn
        self._pace = Pace(interval_seconds)
        self._audience = audience

    def send(self, notification: Notification) -> None:
        """Publish the notification; see `Sink.send`."""
        send_apart(notification, self._send)

    def _send(self, notification: Notification) -> None:
        # imported here: whoever made the client has already loaded botocore
        from botocore.exceptions import BotoCoreError, ClientError

        arguments = content_of(notification, partial(publication, audience=self._audience))
        failure: DeliveryError | None = None
        with self._pace:
            try:
                self._client.publish(TopicArn=self._topic_arn, **arguments)
            except ClientError as error:
                failure = _failure(str(error.response.get("Error", {}).get("Code", "")))
            except (BotoCoreError, OSError) as error:
                failure = DeliveryError(f"SNS could not be reached: {type(error).__name__}")
        if failure is not None:  # raised outside: the original exception may quote the request
            raise failure


def connect(topic_arn: str, **options: Any) -> SnsSink:
    """Return a sink with a boto3 client of its own, in the topic's region.

    Args:
        topic_arn: The topic.
        options: As for `SnsSink`.

    Raises:
        SettingError: This is not the ARN of a standard topic, or boto3 is not installed or cannot make a client.
    """
    found = re.fullmatch(r"arn:aws[a-z-]*:sns:([a-z0-9-]+):[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?", topic_arn)
    if found is None or found[2]:
        raise SettingError(f"not the ARN of a standard SNS topic: {text.visible(topic_arn, 200)}")
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ModuleNotFoundError as error:
        raise SettingError(BOTO3_MISSING) from error
    config = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2, "mode": "standard"})
    try:
        client: Any = boto3.client("sns", region_name=found[1], config=config)
    except (BotoCoreError, ValueError) as error:
        raise SettingError(f"cannot make an SNS client: {error}") from error
    return SnsSink(client, topic_arn, **options)


def publication(
    notification: Notification,
    audience: Audience = EVERYBODY,
    write: WriteMachineJson = machine_json,
    mail_key: str = "",
) -> dict[str, Any]:
    """Return the arguments of `publish`, without the topic.

    Args:
        notification: What to publish.
        audience: Whom it is for.
        write: Writes what machines get.
        mail_key: The key for which e-mail subscriptions ask; "" if they ask for none.
    """
    with_key = attributes(notification) | ({MAIL_KEY: mail_key} if mail_key else {})
    return {
        "Subject": subject(notification, audience),
        "MessageStructure": "json",
        "Message": _body(notification, audience, write),
        "MessageAttributes": {name: _attribute(value) for name, value in with_key.items()},
    }


def subject(notification: Notification, audience: Audience = EVERYBODY) -> str:
    """Return the headline as fewer than 100 printable ASCII characters."""
    ascii_ = text.headline(notification, audience).encode("ascii", "replace").decode("ascii")
    return ascii_ if len(ascii_) < 100 else ascii_[:96] + "..."


def attributes(notification: Notification) -> dict[str, str]:
    """Return the attributes for filter policies; without a cluster it is `unknown`: SNS accepts no empty value."""
    return {
        "disposition": notification.disposition,
        "level": notification.level.value,
        "rule": notification.rule,
        "service": notification.service,
        "cluster": text.visible(notification.cluster, 100) or "unknown",
    }


def _attribute(value: str) -> dict[str, str]:
    return {"DataType": "String", "StringValue": value}


def _body(notification: Notification, audience: Audience, write: WriteMachineJson) -> str:
    for text_bytes, machine_bytes in _LIMITS_BYTES:
        readable = _cut(text.email_text(notification, audience), text_bytes)
        machine = write(notification, machine_bytes).decode()
        bodies = {"default": readable, "email": readable} | dict.fromkeys(MACHINE_PROTOCOLS, machine)
        body = msgspec.json.encode(bodies)
        if len(body) <= _BODY_LIMIT_BYTES:
            break
    return body.decode()


def _cut(readable: str, limit_bytes: int) -> str:
    encoded = readable.encode("utf-8", "replace")
    if len(encoded) <= limit_bytes:
        return readable
    return encoded[:limit_bytes].decode("utf-8", "ignore") + "\n... cut here; the alert log has all of it.\n"


def _failure(code: str) -> DeliveryError:
    answer = "SNS answered " + (code if re.fullmatch("[A-Za-z0-9.]{1,64}", code) else "an error")
    if "Throttl" in code or code == "TooManyRequestsException":
        return SinkBusy(answer, _BUSY_WAIT_SECONDS)
    return SinkRefused(answer) if code in _REFUSED else DeliveryError(answer)
