"""A stand-in for Slack on loopback that enforces Slack's documented limits, and shows its messages on a page.

    with SlackStandIn() as slack:
        post to slack.webhook_url, or with slack.token to slack.api_url and slack.channel
        look at slack.messages, or with a browser at slack.page_url

`limits` checks payloads, `workspace` keeps messages and channels, `page` renders them, `server` answers requests.
`python -m testbed.slack [PORT]` runs it until interrupted.
"""

from testbed.slack.limits import fault
from testbed.slack.server import SlackStandIn
from testbed.slack.workspace import Behaviour, Post

__all__ = ["Behaviour", "Post", "SlackStandIn", "fault"]
