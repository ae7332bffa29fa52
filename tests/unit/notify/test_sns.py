"""SNS gets readable text for people and JSON for machines, within its limits."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import example, given
from hypothesis import strategies as st
from moto import mock_aws

from tests.unit.notify.samples import LOGGED, a_message, a_summary
from tests.unit.store.alerts import an_alert
from vaultwatch.audience import Audience
from vaultwatch.errors import DeliveryError, SettingError, SinkBusy, SinkRefused
from vaultwatch.notify.machine import decode_notification
from vaultwatch.notify.sns import MACHINE_PROTOCOLS, MAIL_KEY, SnsSink, attributes, connect, publication, subject
from vaultwatch.notify.text import email_text

ARN = "arn:aws:sns:eu-central-1:123456789012:alerts"


# SQS API reference, SendMessage; SNS does not deliver messages with other characters to a queue.
SQS_TAKES = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")


class FailingClient:
    """Answers every call with an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def publish(self, **_: Any) -> Any:
        raise self._error


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "SECRET"}}, "Publish")


class TestPublication:
    def test_has_text_for_people_and_json_for_machines(self) -> None:
        bodies = json.loads(publication(a_message())["Message"])
        assert bodies["default"] == bodies["email"] == email_text(a_message())
        assert {decode_notification(bodies[name].encode()) == a_message() for name in MACHINE_PROTOCOLS} == {True}

    def test_people_read_times_in_their_zone_and_machines_as_logged(self) -> None:
        bodies = json.loads(publication(a_message(), Audience(ZoneInfo("Europe/Berlin")))["Message"])
        assert "2024-05-06 09:08:09 CEST" in bodies["email"]
        assert an_alert().time in bodies["sqs"]

    def test_has_the_attributes_that_filter_policies_select_by(self) -> None:
        assert attributes(a_message()) == {
            "disposition": "first", "level": "high", "rule": "audit_root_policy_used",
            "service": "audit", "cluster": "prod",
        }  # fmt: skip
        assert attributes(a_summary())["disposition"] == "summary"
        assert attributes(a_message(an_alert(cluster="")))["cluster"] == "unknown"

    def test_has_the_key_for_which_e_mail_subscriptions_ask_beside_them_and_nowhere_else(self) -> None:
        arguments = publication(a_message(), mail_key="a secret")
        key = arguments["MessageAttributes"].pop(MAIL_KEY)
        assert key == {"DataType": "String", "StringValue": "a secret"}
        assert arguments == publication(a_message())
        assert "a secret" not in str(arguments)

    @given(st.text(min_size=1), st.integers(1, 30))
    def test_a_subject_is_short_printable_ascii(self, title: str, alerts: int) -> None:
        line = subject(a_message(*[an_alert(title=title)] * alerts, merged=a_summary().merged))
        assert 0 < len(line) < 100
        assert line.isascii()
        assert line.isprintable()

    def test_the_largest_possible_message_fits(self) -> None:
        for char in ('"', "\U0001f600", "\uffff"):
            huge = [an_alert(rule=f"r{n}", record={"d": char * 8000}, actions=(char * 5000,) * 12,
                             **dict.fromkeys(LOGGED, char * 2000)) for n in range(25)]  # fmt: skip
            arguments = publication(a_message(*huge, merged=a_summary(20).merged), mail_key="x" * 64)
            assert len(arguments["Message"].encode()) + len(str(arguments["MessageAttributes"])) < 256 * 1024
            body = json.loads(arguments["Message"])["sqs"]
            assert len(decode_notification(body.encode()).alerts) == 25

    @given(st.text(st.characters(exclude_categories=["Cs"])))
    @example("\ufffe\uffff\0\x85")
    def test_whatever_a_log_contains_passes_through_a_queue(self, text: str) -> None:
        message = a_message(an_alert(path=text, principal=text, cluster=text, record={text: text}))
        bodies = json.loads(publication(message)["Message"])
        for text in [*bodies.values(), *attributes(message).values()]:
            assert SQS_TAKES.fullmatch(text)
        assert decode_notification(bodies["sqs"].encode()) == message


class TestSink:
    @pytest.fixture
    def received(self) -> Iterator[Any]:
        """Publish a notification, and return the message in a queue behind the topic."""
        with mock_aws():
            sns, sqs = boto3.client("sns"), boto3.client("sqs")
            topic = sns.create_topic(Name="alerts")["TopicArn"]
            queue = sqs.create_queue(QueueName="q")["QueueUrl"]
            arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
            sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)

            def publish(message: Any) -> dict[str, Any]:
                connect(topic).send(message)
                envelope: dict[str, Any] = json.loads(sqs.receive_message(QueueUrl=queue)["Messages"][0]["Body"])
                return envelope

            yield publish

    def test_a_queue_gets_the_message_as_it_is_in_the_store(self, received: Any) -> None:
        envelope = received(a_message(merged=a_summary().merged))
        assert decode_notification(envelope["Message"].encode()) == a_message(merged=a_summary().merged)
        assert envelope["Subject"] == "HIGH: Root policy used, plus 9 earlier"
        assert envelope["MessageAttributes"]["disposition"]["Value"] == "first"

    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (client_error("Throttling"), SinkBusy),
            (client_error("InvalidParameter"), SinkRefused),
            (client_error("AuthorizationError"), DeliveryError),
            (client_error("SECRET https://"), DeliveryError),
            (EndpointConnectionError(endpoint_url="https://SECRET"), DeliveryError),
        ],
    )
    def test_an_error_says_what_to_do_and_quotes_nothing(self, error: Exception, kind: type[DeliveryError]) -> None:
        sink = SnsSink(FailingClient(error), ARN, interval_seconds=0)
        with pytest.raises(DeliveryError) as caught:
            sink.send(a_message())
        assert type(caught.value) is kind
        assert "SECRET" not in str(caught.value)
        assert caught.value.__context__ is None

    def test_what_sns_refuses_is_published_without_its_texts(self) -> None:
        published = list[str]()

        class Particular:
            def publish(self, **given: Any) -> None:
                if "secret/unheard-of" in given["Message"]:
                    raise client_error("InvalidParameter")
                published.append(given["Message"])

        SnsSink(Particular(), ARN, interval_seconds=0).send(a_message(an_alert(path="secret/unheard-of")))
        [text] = published
        assert "the texts of this alert are left out" in text

    @pytest.mark.parametrize("arn", ["", "alerts", "arn:aws:sqs:eu-central-1:123456789012:alerts", ARN + ".fifo"])
    def test_a_wrong_topic_is_a_setting_error(self, arn: str) -> None:
        with pytest.raises(SettingError, match="ARN"):
            connect(arn)


def test_without_boto3_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(SettingError, match="extra `aws`"):
        connect(ARN)


def test_boto3_is_imported_only_when_sns_is_used() -> None:
    code = (
        "import sys, vaultwatch.notify.sns, vaultwatch.notify.slack, vaultwatch.notify.sender;"
        "print([m for m in ('boto3', 'botocore', 'requests', 'slack_sdk', 'asyncio') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
