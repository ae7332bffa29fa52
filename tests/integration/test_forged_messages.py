"""With the stolen credential of a publishing function, nobody writes to Slack or a mailbox, or holds back an alert."""

from __future__ import annotations

import json
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


def publish(deployment: Deployment, function: str, notification: Notification, mail_key: str = "") -> None:
    """Publish a notification as the function would, but with a key that a thief has made up."""
    aws = deployment.aws
    message = publication(notification, mail_key=mail_key)
    bodies = json.loads(message["Message"])
    content = bodies["sqs"]
    bodies["sqs"] = f'{content[:-1]},"seal":"{Seal("a guess").of_message(content.encode())}"}}'
    client = aws.client("sns", aws.physical_id(ALERTING, f"{function}/Function/Role"))
    client.publish(TopicArn=aws.physical_id(ALERTING, "Alerts/Topic"), **{**message, "Message": json.dumps(bodies)})
