"""With the stolen credential of a publishing function, nobody writes to Slack or a mailbox, or holds back an alert."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from testbed.deployment import ALERTING, Deployment, deploy
from testbed.recorded import tagged
from vaultwatch.dispatch.notification import Notification
from vaultwatch.notify.sns import publication
from vaultwatch.seals import Seal

BEGINS = tagged("vault-1.14.2", "audit")[7][2:4]  # a root generation
FLOOD = 20


@pytest.fixture(scope="module")
def notification(deployed_templates: dict[str, Any], bundle: Path) -> Notification:
    """What is published about it: whoever reads the stream can compute that before anybody else has published it."""
    with deploy(deployed_templates, bundle) as deployment:
        deployment.ship(BEGINS)
        deployment.aws.run_until_idle()
        assert deployment.slack.accepted == 1
        assert "vaultwatch-notify-foreign-messages" not in deployment.aws.fired_alarms()
        deployment.aws.tick(301)  # Firehose's interval
        [notification] = deployment.published()
        return notification


@pytest.mark.parametrize("function", ["Evaluation", "Sweep", "Digest"])
def test_what_a_thief_publishes_is_in_no_mailbox_and_not_in_slack_and_what_it_stands_for_is(
    deployed_templates: dict[str, Any], bundle: Path, notification: Notification, function: str
) -> None:
    harmless = replace(notification, alerts=tuple(replace(one, summary="all is well") for one in notification.alerts))
    others = [replace(harmless, id=f"{number:032x}") for number in range(FLOOD)]
    with deploy(deployed_templates, bundle) as deployment:
        for one in (harmless, *others):
            publish(deployment, function, one)
        publish(deployment, function, harmless, mail_key="a guess, as long as that of a deployment")
        assert deployment.aws.mails == []
        deployment.aws.run_until_idle()
        assert deployment.slack.accepted == 0
        deployment.ship(BEGINS)
        deployment.aws.run_until_idle()
        assert deployment.slack.accepted == 1
        assert "all is well" not in str(deployment.slack.messages)
        assert "vaultwatch-notify-foreign-messages" in deployment.aws.fired_alarms()
        [mail] = deployment.aws.mails
        assert "root" in mail.text
        assert "all is well" not in mail.text
        assert len(with_another_key(deployment)) == 1  # the guess


def test_no_message_of_a_thief_waits_for_slack_in_the_queue_of_what_is_real(
    deployed_templates: dict[str, Any], bundle: Path, notification: Notification
) -> None:
    with deploy(deployed_templates, bundle) as deployment:
        for queue in ("Slack/Queue", "Slack/OtherQueue"):
            copy_to(f"{queue}@example.com", deployment, queue)
        for number in range(FLOOD):
            publish(deployment, "Digest", replace(notification, id=f"{number:032x}"), mail_key=f"a guess {number:032}")
        publish(deployment, "Digest", notification)
        deployment.ship(BEGINS)
        deployment.aws.run_until_idle()
        assert deployment.slack.accepted == 1
        copies = Counter(mail.address for mail in deployment.aws.mails)
        assert copies["Slack/Queue@example.com"] == 1
        assert copies["Slack/OtherQueue@example.com"] == FLOOD  # and what has no key is in neither


def test_while_filters_have_another_key_than_the_functions_what_nobody_gets_is_in_a_queue_with_an_alarm(
    deployed_templates: dict[str, Any], bundle: Path
) -> None:
    with deploy(deployed_templates, bundle) as deployment:
        aws, sns = deployment.aws, deployment.aws.client("sns")
        topic = aws.physical_id(ALERTING, "Alerts/Topic")
        for one in sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]:
            about = {"SubscriptionArn": one["SubscriptionArn"]}
            policy = sns.get_subscription_attributes(**about)["Attributes"].get("FilterPolicy", "")
            if "mail_key" in policy:
                former = re.sub(r"[A-Za-z0-9]{64}", "a former key", policy)
                assert former != policy
                sns.set_subscription_attributes(**about, AttributeName="FilterPolicy", AttributeValue=former)
        deployment.ship(BEGINS)
        aws.run_until_idle()
        assert (deployment.slack.accepted, aws.mails) == (1, [])
        [message] = with_another_key(deployment)
        assert "root" in message


def copy_to(address: str, deployment: Deployment, queue: str) -> None:
    """Send an e-mail of each message that a queue gets, too: functions empty it at once."""
    aws, sns = deployment.aws, deployment.aws.client("sns")
    name, topic = aws.physical_id(ALERTING, f"{queue}/Waiting"), aws.physical_id(ALERTING, "Alerts/Topic")
    for one in sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]:
        if one["Endpoint"].endswith(f":{name.rpartition('/')[2]}"):
            found = sns.get_subscription_attributes(SubscriptionArn=one["SubscriptionArn"])["Attributes"]
            policy = {"FilterPolicy": found["FilterPolicy"]}
            sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=address, Attributes=policy)


def with_another_key(deployment: Deployment) -> list[str]:
    """Return what is in the queue for which an alarm fires, because no address gets it by e-mail."""
    queue, found = deployment.aws.physical_id(ALERTING, "Email/OtherKey"), list[str]()
    sqs = deployment.aws.client("sqs")
    while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        found += [one["Body"] for one in messages]
    return found


def publish(deployment: Deployment, function: str, notification: Notification, mail_key: str = "") -> None:
    """Publish a notification as the function would, but with a key that a thief has made up."""
    aws = deployment.aws
    message = publication(notification, mail_key=mail_key)
    bodies = json.loads(message["Message"])
    content = bodies["sqs"]
    bodies["sqs"] = f'{content[:-1]},"seal":"{Seal("a guess").of_message(content.encode())}"}}'
    client = aws.client("sns", aws.physical_id(ALERTING, f"{function}/Function/Role"))
    client.publish(TopicArn=aws.physical_id(ALERTING, "Alerts/Topic"), **{**message, "Message": json.dumps(bodies)})
