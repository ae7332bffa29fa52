"""Amazon SNS: one message, readable text for e-mail and JSON for machines.

Limits (SNS API reference, Publish): 256 KiB over all bodies and attributes; a subject of under 100 printable ASCII
characters. Above ten mails a second to one address AWS suspends the subscription, hence the pace.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

import msgspec

from vaultwatch.dispatch.notification import NOTIFIED, Disposition, Notification
from vaultwatch.errors import DeliveryError, SettingError, SinkBusy, SinkRefused
from vaultwatch.notify import text as messages
from vaultwatch.notify.sink import Pace
from vaultwatch.rules.facts import Level

MACHINE_PROTOCOLS = ("sqs", "lambda", "https", "firehose")
_BODY_LIMIT_BYTES = 250_000
# Of text and of JSON, each quoted once more in the body: the first pair with which the whole fits is taken.
_LIMITS_BYTES = ((30_000, 48_000), (15_000, 24_000), (8_000, 12_000))
_REFUSED = {"InvalidParameter", "InvalidParameterValue", "ParameterValueInvalid", "ValidationException"}
_BUSY_WAIT_SECONDS = 5.0


class SnsClient(Protocol):
    """What is used of `boto3.client("sns")`."""

    def publish(self, **kwargs: Any) -> Any:
        """Publish one message; raises botocore's errors."""
        ...


class SnsSink:
    """Publishes messages to one topic; see `vaultwatch.notify.sink.Sink`.

    With `dispositions=ALL_DISPOSITIONS` it publishes what is only counted, too: for a topic whose e-mail
    subscriptions filter on the attribute `disposition`.
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
    ) -> None:
        self.name = name
        self.dispositions = dispositions
        self.minimum_level = minimum_level
        self._client = client
        self._topic_arn = topic_arn
        self._pace = Pace(interval_seconds)

    def send(self, message: Notification) -> None:
        """Publish the message; see `Sink.send`."""
        # Not before this: the client that is here has loaded it already.
        from botocore.exceptions import BotoCoreError, ClientError

        failure: DeliveryError | None = None
        self._pace.wait()
        try:
            self._client.publish(TopicArn=self._topic_arn, **publication(message))
        except ClientError as error:
            failure = _failure(str(error.response.get("Error", {}).get("Code", "")))
        except (BotoCoreError, OSError) as error:
            failure = DeliveryError(f"SNS could not be reached: {type(error).__name__}")
        finally:
            self._pace.done()
        if failure is not None:  # Raised out here: the original may quote the request.
            raise failure


def connect(topic_arn: str, **options: Any) -> SnsSink:
    """The sink on an ordinary boto3 client, in the topic's region; `options` as for `SnsSink`.

    Raises `SettingError` if this is no topic's ARN, or boto3 cannot make a client.
    """
    found = re.fullmatch(r"arn:aws[a-z-]*:sns:([a-z0-9-]+):[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?", topic_arn)
    if found is None or found[2]:
        raise SettingError(f"not the ARN of a standard SNS topic: {messages.visible(topic_arn, 200)}")
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2, "mode": "standard"})
    try:
        client: Any = boto3.client("sns", region_name=found[1], config=config)
    except (BotoCoreError, ValueError) as error:
        raise SettingError(f"no SNS client can be made: {error}") from error
    return SnsSink(client, topic_arn, **options)


def publication(message: Notification) -> dict[str, Any]:
    """The arguments of `publish`, without the topic."""
    return {
        "Subject": subject(message),
        "MessageStructure": "json",
        "Message": _body(message),
        "MessageAttributes": {name: _attribute(value) for name, value in attributes(message).items()},
    }


def subject(message: Notification) -> str:
    """The headline as under 100 printable ASCII characters."""
    ascii_ = messages.headline(message).encode("ascii", "replace").decode("ascii")
    return ascii_ if len(ascii_) < 100 else ascii_[:96] + "..."


def attributes(message: Notification) -> dict[str, str]:
    """What filter policies select by; a cluster that is not known is `unknown`, since SNS takes no empty value."""
    return {
        "disposition": message.disposition,
        "level": message.level.value,
        "rule": message.rule,
        "service": message.service,
        "cluster": messages.visible(message.cluster, 100) or "unknown",
    }


def _attribute(value: str) -> dict[str, str]:
    return {"DataType": "String", "StringValue": value}


def _body(message: Notification) -> str:
    for text_bytes, machine_bytes in _LIMITS_BYTES:
        text = _cut(messages.email_text(message), text_bytes)
        machine = messages.machine_json(message, machine_bytes).decode()
        bodies = {"default": text, "email": text} | dict.fromkeys(MACHINE_PROTOCOLS, machine)
        body = msgspec.json.encode(bodies)
        if len(body) <= _BODY_LIMIT_BYTES:
            break
    return body.decode()


def _cut(text: str, limit_bytes: int) -> str:
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= limit_bytes:
        return text
    return encoded[:limit_bytes].decode("utf-8", "ignore") + "\n... cut here; the whole is in the alert log.\n"


def _failure(code: str) -> DeliveryError:
    text = "SNS answered " + (code if re.fullmatch("[A-Za-z0-9.]{1,64}", code) else "an error")
    if "Throttl" in code or code == "TooManyRequestsException":
        return SinkBusy(text, _BUSY_WAIT_SECONDS)
    return SinkRefused(text) if code in _REFUSED else DeliveryError(text)
