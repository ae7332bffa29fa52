"""`vaultwatch watch`: a stream on stdin, evaluated for ever."""

from __future__ import annotations

from pathlib import Path

import click

from vaultwatch.cli.common import HandlerCommand, load_rules
from vaultwatch.zones import find_zone

_FILE = click.Path(path_type=Path)


@click.command("watch", cls=HandlerCommand)
@click.option("--source", required=True, metavar="audit|server", help="What the lines are.")
@click.option("--alert-log", type=_FILE, metavar="FILE", help="Append alerts here, one JSON object a line.")
@click.option(
    "--slack-webhook-file", type=_FILE, metavar="FILE",
    help="Holds the URL of a Slack webhook. Else VAULTWATCH_SLACK_WEBHOOK_URL, where set.",
)  # fmt: skip
@click.option(
    "--slack-token-file", type=_FILE, metavar="FILE",
    help="Holds a Slack bot token: each alert group is one message, updated in place.",
)  # fmt: skip
@click.option("--slack-channel", default="", metavar="CHANNEL", help="The channel's id or name, with a bot token.")
@click.option("--sns-topic", default="", metavar="ARN", help="Publish to this SNS topic.")
@click.option("--level", default="low", show_default=True, metavar="LEVEL", help="Notify of alerts from this level on.")
@click.option(
    "--state", type=_FILE, metavar="DIR",
    help="What has been alerted and is still to be told. Default: /var/lib/vaultwatch where that is there, "
    "else ~/.local/state/vaultwatch.",
)  # fmt: skip
@click.option(
    "--rules", "rule_dirs", type=_FILE, multiple=True, metavar="DIR", help="Rules to use instead of the shipped ones."
)
@click.option("--timezone", default="UTC", show_default=True, help="Zone of local.hour and local.weekday.")
@click.option("--rejected", type=_FILE, metavar="FILE", help="Keep rejected lines here (JSON).")
@click.option("--stats", type=_FILE, metavar="FILE", help="Rewrite what was read and found here each second (JSON).")
@click.option("--log-file", type=_FILE, metavar="FILE", help="Log here instead of to syslog.")
@click.option("--check-config", is_flag=True, help="Say what is wrong with the settings, and end.")
def command(
    source: str,
    alert_log: Path | None,
    slack_webhook_file: Path | None,
    slack_token_file: Path | None,
    slack_channel: str,
    sns_topic: str,
    level: str,
    state: Path | None,
    rule_dirs: tuple[Path, ...],
    timezone: str,
    rejected: Path | None,
    stats: Path | None,
    log_file: Path | None,
    check_config: bool,
) -> int:
    """Evaluate a stream on stdin for ever and tell people: the program() handler of a log server without AWS.

    It reads to the end of its input, also after SIGTERM. A wrong setting is logged and tried again every 10 seconds,
    without reading; --check-config finds it before. What is not told yet is told after the next start.
    """
    from vaultwatch.watch import handler
    from vaultwatch.watch.options import WatchOptions

    options = WatchOptions(
        source=source,
        load_rules=lambda: load_rules(rule_dirs),
        load_zone=lambda: find_zone(timezone, "--timezone"),
        state=state,
        alert_log=alert_log,
        slack_webhook_file=slack_webhook_file,
        slack_token_file=slack_token_file,
        slack_channel=slack_channel,
        sns_topic=sns_topic,
        level=level,
        rejected=rejected,
        stats=stats,
        log_file=log_file,
    )
    return handler.check_config(options) if check_config else handler.run(options)
