"""The alarms on the metrics of the functions: lost or delayed lines, frames, alerts and notifications."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from aws_cdk import Duration

from stacks.constructs.alarms import FIVE_MINUTES, MINUTE, Alarms
from vaultwatch.aws import keys, metrics
from vaultwatch.aws.metrics import Metric


class Loss(NamedTuple):
    """A metric of something that was lost or is late; every function that writes it gets an alarm.

    `text` says what happened in the function `{function}`, what that means and what to do. The alarm fires at the first
    count within `period`, unless `datapoints` of `periods` are required.
    """

    name: str
    metric: Metric
    text: str
    period: Duration = FIVE_MINUTES
    periods: int = 1
    datapoints: int = 1
    sink: str = ""


LOSSES = (
    Loss(
        "rejected-lines",
        metrics.REJECTED_LINES,
        "The function {function} could not parse some lines, and no rule has seen them. The archive has them all; "
        f"those of the stream are in the alerts bucket below {keys.REJECTED}, each with the reason. Read the reasons: "
        "a line was cut off, the format is one that Vaultwatch does not know, or somebody else writes to the log.",
    ),
    Loss(
        "parked-frames",
        metrics.PARKED_FRAMES,
        "The function {function} could not evaluate some frames. They are in the alerts bucket below "
        f"{keys.PARKED} with the reason; those of evaluate the function sweep reads again from the stream, and "
        "evaluates as far as it can. They were damaged on their way or too large, or somebody else writes to the "
        "stream. Read the reasons, and check who may put records on the stream.",
    ),
    Loss(
        "unkept-objects",
        metrics.UNKEPT_OBJECTS,
        "The function {function} could not store rejected lines or unreadable frames in the alerts bucket, and gave "
        "them up after some retries, so that the alerts behind them do not wait. Its log names them; the stream still "
        "has the frames, and the archive has the lines. Check the bucket, its key, and the role of the function.",
    ),
    Loss(
        "rule-errors",
        metrics.RULE_ERRORS,
        "Rules failed in the function {function}, and may have missed what they are to find; all other rules evaluated "
        "the same records. The metric RuleErrorsByRule names the rules. Correct or remove them, and deploy again.",
    ),
    Loss(
        "groups-dropped",
        metrics.GROUPS_DROPPED,
        "Rules that count may have missed something in the function {function}: it gave up the smallest counts because "
        "there were too many groups, could not share counts with other functions, or did not count records with times "
        "more than an hour ahead, which are forged unless a clock is wrong. Its log says if the table was the reason. "
        "Look at who makes so many groups (names that fail to log in, addresses, identities), and run "
        "`vaultwatch check` on the archive of that time: it counts everything together.",
    ),
    Loss(
        "failed-alerts",
        metrics.FAILED_ALERTS,
        "The texts of some alerts raised an exception in the function {function}. People are notified of them without "
        f"these texts; the alerts are in the table, or in the alerts bucket below {keys.FAILED}. Its log names each "
        "alert and the exception: this is a defect, and perhaps an attack that uses it.",
    ),
    Loss(
        "foreign-rows",
        metrics.FOREIGN_ROWS,
        "The function {function} found rows in the alerts table that Vaultwatch did not write. It ignores and replaces "
        "them, so that they hold back no alert. Its log names each row. Find out whose credential it was: check the "
        "roles that may write to the table and, if its trail records data events, CloudTrail.",
    ),
    Loss(
        "foreign-messages",
        metrics.FOREIGN_MESSAGES,
        "The function {function} dropped messages of its queue that Vaultwatch did not publish, and did not send them. "
        "Whoever published them to the alerts topic may also have sent e-mails in the name of Vaultwatch: believe none "
        "that the alerts table does not have. Its log shows the beginning of each. Find out whose credential it was: "
        "only the roles of evaluate, sweep, digest and administrators may publish to the topic.",
        sink="slack",
    ),
    Loss(
        "late-alerts",
        metrics.LATE_ALERTS,
        "The function {function} found alerts in the archive that the stream had not raised. People were notified of "
        "them, late. Check the other alarms and the log of `vaultwatch ship` at the time of these alerts.",
    ),
    Loss(
        "publish-failures",
        metrics.PUBLISH_FAILURES,
        "SNS did not accept notifications of the function {function}. They are stored, and the function digest "
        "publishes them every minute until SNS accepts them. Check the alerts topic, its key, and the role of the "
        "function.",
    ),
    Loss(
        "refused-notifications",
        metrics.REFUSED_NOTIFICATIONS,
        "SNS refuses notifications of the function {function} as they are, and nobody has been notified of them. They "
        "are stored and tried again up to once an hour. The table holds their alerts; read them there, and report the "
        "defect.",
    ),
    Loss(
        "unsent-notifications",
        metrics.UNSENT_NOTIFICATIONS,
        "For five minutes the function {function} has found notifications that were stored and not published. People "
        "are notified late. Look at the alarms for publish failures; without any, more alerts come than can be "
        "published.",
        period=MINUTE,
        periods=5,
        datapoints=5,
    ),
    # While Slack is unavailable, each message is tried every six minutes.
    Loss(
        "failed-notifications",
        metrics.FAILED_NOTIFICATIONS,
        "For ten minutes Slack has not accepted notifications of the function {function}. They stay in its queue, "
        "which retries for more than a day. E-mail is not affected. Check the secret with Slack's webhook URL or bot "
        "token, and the function's log group.",
        periods=3,
        datapoints=2,
        sink="slack",
    ),
)


def watch_losses(alarms: Alarms, *, sinks: frozenset[str]) -> None:
    """Alarm on each of `LOSSES`.

    Args:
        alarms: Where the alarms are added.
        sinks: The sinks that have a function; alarms of other sinks are left out.
    """
    for loss, function in _each(sinks):
        own = {"sink": loss.sink} if loss.sink else {}
        alarms.add(
            f"{function}-{loss.name}",
            alarms.own_metric(loss.metric, function, period=loss.period, **own),
            loss.text.format(function=function),
            periods=loss.periods,
            datapoints=loss.datapoints,
        )


def _each(sinks: frozenset[str]) -> Iterator[tuple[Loss, str]]:
    for loss in LOSSES:
        if not loss.sink or loss.sink in sinks:
            yield from ((loss, function) for function in loss.metric.functions)
