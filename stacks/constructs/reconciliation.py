"""The reconciliation: the function `reconcile`, which compares both copies of each hour a day later."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.constructs import permissions
from stacks.constructs.alarms import FIVE_MINUTES, Alarms
from stacks.constructs.function import Function, FunctionDefaults, FunctionSize
from stacks.constructs.queue import Queue
from vaultwatch.aws import keys, metrics

_HOUR = Duration.hours(1)
_COPIES = tuple(keys.segments_of_source(source) for source in ("audit", "audit-file"))
_CONCURRENCY = 2  # the least that Lambda accepts


class Reconciliation(Construct):
    """The function `reconcile`, its queue, and the schedule that sends it a message each hour.

    Args:
        scope: The construct that holds the reconciliation.
        construct_id: The id within `scope`.
        defaults: What all functions have in common.
        archive: The bucket of archived segments, of which it may read both copies of the audit log.
        key: The key that encrypts the bucket.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, defaults: FunctionDefaults, archive: s3.Bucket, key: kms.IKey
    ) -> None:
        super().__init__(scope, construct_id)
        # At most 54 bytes an entry, of which one core compares about 15 million in that time.
        size = FunctionSize(memory_mib=defaults.settings.reconcile_memory_mib, timeout_seconds=900, scratch_mib=1024)
        # 20 receives of 90 minutes: a copy may be late by another day.
        queue = Queue(self, "Queue", consumer="reconcile", size=size, max_receives=20, alarms=defaults.alarms)
        function = Function(
            self,
            "Function",
            defaults=defaults,
            name="reconcile",
            description="Each hour: compares both copies of the same hour of the day before",
            size=size,
            environment={"ARCHIVE_BUCKET_NAME": archive.bucket_name},
            statements=[
                permissions.receive_messages(queue.waiting),
                permissions.list_objects("ListCopies", archive, *_COPIES),
                permissions.read_objects("ReadCopies", archive, *_COPIES),
                permissions.decrypt_objects(key),
            ],
            effect="SQS delivers the hour again; alerts are not affected.",
        )
        permissions.acknowledge_reads(function, archive, _COPIES)
        queue.feed(function.resource, batch_size=1, max_concurrency=_CONCURRENCY)
        rule = events.Rule(
            self,
            "Schedule",
            description="Sends a message to the function reconcile every hour",
            # At a fixed minute each hour is named once, whenever the rule was made.
            schedule=events.Schedule.cron(minute="20"),
        )
        rule.add_target(targets.SqsQueue(queue.waiting, dead_letter_queue=queue.dead_letters, max_event_age=_HOUR))
        _watch(defaults.alarms)


def _watch(alarms: Alarms) -> None:
    def add(name: str, metric: metrics.Metric, text: str, lane: str = "") -> None:
        own = {"lane": lane} if lane else {}
        alarms.add(f"reconcile-{name}", alarms.own_metric(metric, "reconcile", period=FIVE_MINUTES, **own), text)

    add(
        "differing-entries",
        metrics.DIFFERING_ENTRIES,
        "Both copies of the audit log have the same entries with other contents: somebody has altered one copy on a "
        "host before it was archived, or the audit devices have different options. The log of the function reconcile "
        "names the first of them, with the fields that differ.",
    )
    add(
        "file-lacks-entries",
        metrics.MISSING_ENTRIES,
        "The log server's copy of an hour has audit entries that no node's own audit file has. A node was lost before "
        "it had uploaded its file, lines were removed from that, or somebody has forged entries on the way. The log of "
        "the function reconcile names the first of them, and its silences say whether a whole span of time is missing.",
        lane="file",
    )
    add(
        "socket-lacks-entries",
        metrics.MISSING_ENTRIES,
        "The nodes' own audit files have entries of an hour that the log server's copy of that hour has not. A restart "
        "of syslog-ng or of a host loses some of the socket's, and while the log server is unavailable they wait on "
        "the node's disk and come later than the hour. Compare the silences in the log of the function reconcile with "
        "such times; without one, somebody kept entries from the log server.",
        lane="socket",
    )
    add(
        "unreconciled-hours",
        metrics.UNRECONCILED_HOURS,
        "Both copies of an hour could not be compared to their end. The log of the function reconcile says why: too "
        "many entries for 15 minutes, damaged segments, lines that are no audit entry, or content that ended the "
        "comparison. Compare that hour with the command `vaultwatch reconcile`.",
    )
    alarms.add(
        "reconcile-stopped",
        alarms.own_metric(metrics.RECONCILED_HOURS, "reconcile", period=_HOUR),
        "For three hours the function reconcile has compared no hour to its end: its schedule does not run, the "
        "function fails, or a copy is late by a day. Check the rule, the queue and the log of the function, and "
        "whether the hosts upload.",
        periods=3,
        datapoints=3,
        silence_is_failure=True,
    )
