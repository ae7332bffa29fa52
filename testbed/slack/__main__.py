"""Runs the stand-in until it is interrupted: `python -m testbed.slack [PORT]`."""

from __future__ import annotations

import sys
import threading

from testbed.slack import SlackStandIn


def main() -> None:
    """Run until interrupted."""
    with SlackStandIn(port=int(sys.argv[1]) if len(sys.argv) > 1 else 0) as slack:
        print(f"page    {slack.page_url}\nwebhook {slack.webhook_url}", flush=True)
        print(f"API     {slack.api_url}\ntoken   {slack.token}\nchannel {slack.channel}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
