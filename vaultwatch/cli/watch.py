"""`vaultwatch watch`: evaluate the lines on stdin and notify people."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from vaultwatch.cli.common import HandlerCommand, HandlerPath, RulesFolder, completing, load_rules
from vaultwatch.cli.examples import examples
from vaultwatch.rules.facts import Level
from vaultwatch.zones import find_zone

_FILE = HandlerPath()
_FOLLOWED = "tail -n +1 -F /var/log/vault/audit.log | vaultwatch watch --source audit"


class _SourceOption(click.Option):
    """The option that says what stdin has: where it is missing, the error shows a whole command."""

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """See `click.Option`."""
        try:
            return super().process_value(ctx, value)
        except click.MissingParameter as error:
            what = "--source is missing: give the log that stdin has, audit or server, as in"
            raise click.UsageError(f"{what} `{_FOLLOWED}`", ctx) from error


@click.command(
    "watch",
    cls=HandlerCommand,
    epilog=examples(
        f"{_FOLLOWED} --alert-log audit.alert",
        "vaultwatch watch --source audit --slack-webhook-file /etc/vaultwatch/slack-webhook --check-config",
    ),
)
@click.option(
    "--source", cls=_SourceOption, required=True, metavar="audit|server", shell_complete=completing("audit", "server"),
    help="The log that the lines come from.",
)  # fmt: skip
@click.option("--alert-log", type=_FILE, metavar="FILE", help="Append alerts to this file, one JSON object per line.")
@click.option(
    "--logs", default="", metavar="PLACE",
    help="Where the log is, a folder or s3://BUCKET, for the command in notifications that searches it. Default: the "
    "folder of --alert-log.",
)  # fmt: skip
@click.option(
    "--slack-webhook-file", type=_FILE, metavar="FILE",
    help="File with the URL of a Slack webhook. Default: the variable VAULTWATCH_SLACK_WEBHOOK_URL.",
)  # fmt: skip
@click.option(
    "--slack-token-file", type=_FILE, metavar="FILE",
    help="File with a Slack bot token: each alert group is one message, updated in place.",
)  # fmt: skip
@click.option("--slack-channel", default="", metavar="CHANNEL", help="Slack channel of the bot, by id or name.")
@click.option("--sns-topic", default="", metavar="ARN", help="Publish alerts to this SNS topic.")
@click.option(
    "--level", default="low", show_default=True, metavar="LEVEL", shell_complete=completing(*map(str, Level)),
    help="Lowest level to notify about.",
)  # fmt: skip
@click.option(
    "--state", type=_FILE, metavar="DIR",
    help="Directory for alerts, and for notifications that are not sent yet. Default: /var/lib/vaultwatch, "
    "or ~/.local/state/vaultwatch if that is not writable.",
)  # fmt: skip
@click.option(
    "--rules",
    "rule_dirs",
    type=RulesFolder(),
    multiple=True,
    metavar="DIR",
    help="Folder of rules to use instead of the shipped ones, of which `shipped` is the folder; may be given several "
    "times.",
)
@click.option(
    "--timezone", default="UTC", show_default=True, metavar="ZONE",
    help="Time zone of notifications, and of local.hour and local.weekday in rules.",
)  # fmt: skip
@click.option("--rejected", type=_FILE, metavar="FILE", help="Append rejected lines to this file (JSON).")
@click.option("--stats", type=_FILE, metavar="FILE", help="Write counters to this file every second (JSON).")
@click.option(
    "--metrics", type=_FILE, metavar="FILE",
    help="Write metrics to this file every 15 seconds, in Prometheus's text format. Default: vaultwatch-SOURCE.prom in "
    "the directory of --state, where `vaultwatch status` finds it.",
)  # fmt: skip
@click.option("--log-file", type=_FILE, metavar="FILE", help="Write the log of this process here instead of to syslog.")
@click.option("--check-config", is_flag=True, help="Check the settings, print what is wrong or what they do, and exit.")
@click.option("--test-notification", is_flag=True, help="Send a test notification to Slack and SNS, and exit.")
def command(
    source: str,
    alert_log: Path | None,
    logs: str,
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
    metrics: Path | None,
    log_file: Path | None,
    check_config: bool,
    test_notification: bool,
) -> int:
    """Evaluate the lines on stdin and notify people, without AWS: for syslog-ng's program() destination.

    On a terminal, and without --alert-log, Slack and SNS, notifications are printed there.

    It reads its input to the end, even after SIGTERM. While a setting cannot be used, it logs why, reads nothing, and
    checks again every 10 seconds; --check-config finds such a problem before the start. A wrong value of --source,
    --level or --timezone ends it with status 2, unless syslog-ng has started it. Notifications that are not sent
    yet are sent after the next start.
    """
    from vaultwatch.watch import handler
    from vaultwatch.watch.options import WatchOptions

    options = WatchOptions(
        source=source,
        load_rules=lambda: load_rules(rule_dirs),
        load_zone=lambda: find_zone(timezone, "--timezone"),
        state=state,
        alert_log=alert_log,
        logs=logs,
        slack_webhook_file=slack_webhook_file,
        slack_token_file=slack_token_file,
        slack_channel=slack_channel,
        sns_topic=sns_topic,
        level=level,
        rejected=rejected,
        stats=stats,
        metrics=metrics,
        log_file=log_file,
        terminal=sys.stdout if sys.stdout.isatty() else None,
    )
    if test_notification:
        from vaultwatch.watch.trial import send_test

        return handler.check_config(options) or send_test(options)
    return handler.check_config(options) if check_config else handler.run(options)
