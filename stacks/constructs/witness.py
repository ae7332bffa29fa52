"""The function `witness`: it judges each change of the alerts table, and undoes what Vaultwatch has not done."""

from __future__ import annotations

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from constructs import Construct, IDependable

from stacks.constructs import permissions, row_permissions
from stacks.constructs.alerts import Alerts
from stacks.constructs.function import Function, FunctionDefaults, FunctionSize
from stacks.constructs.stream_alarms import watch_changes

BATCH_SECONDS = 5
"""How long changes wait for others, so that the number of invocations is bounded, whatever is written."""


class Witness(Construct):
    """The function `witness` and its event source mapping on the stream of the alerts table.

    It may read that stream and write the rows that `digest` may list and write, too, and read none. The credential of
    another function is of no use to silence it; what somebody does with its own is a change that it judges. X-Ray does
    not trace it: there would be a trace for every write of the others.

    Args:
        scope: The construct that holds the witness.
        construct_id: The id within `scope`.
        defaults: What all functions have in common.
        alerts: Where alerts are stored.
        writers: The functions that write to the table: at an upgrade, changes are judged once all of them seal rows
            as this version does.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        defaults: FunctionDefaults,
        alerts: Alerts,
        writers: IDependable,
    ) -> None:
        super().__init__(scope, construct_id)
        stream = _stream_of(alerts.table)
        function = Function(
            self,
            "Function",
            defaults=defaults,
            name="witness",
            description="Judges each change of the alerts table, reports and undoes what others have done",
            size=FunctionSize(memory_mib=256, timeout_seconds=60),
            environment={"TABLE_NAME": alerts.table.table_name, **alerts.sealing},
            statements=[permissions.read_changes(stream), row_permissions.restore_rows(alerts.table)],
            effect="Until it succeeds, rows that somebody deletes, writes over or puts back are neither reported nor "
            "restored.",
            traced=False,
        ).resource
        mapping = self._mapping(function, stream)
        mapping.node.add_dependency(writers)
        watch_changes(defaults.alarms, function=function, mapping=mapping)

    def _mapping(self, function: lambda_.Function, stream: str) -> lambda_.CfnEventSourceMapping:
        mapping = lambda_.CfnEventSourceMapping
        return mapping(
            self,
            "Mapping",
            function_name=function.function_arn,
            event_source_arn=stream,
            starting_position="LATEST",  # what earlier versions have done is not judged
            batch_size=1_000,
            maximum_batching_window_in_seconds=BATCH_SECONDS,
            parallelization_factor=1,
            bisect_batch_on_function_error=True,
            function_response_types=["ReportBatchItemFailures"],
            maximum_retry_attempts=-1,  # until the stream forgets the record, after 24 hours
            maximum_record_age_in_seconds=-1,
            metrics_config=mapping.MetricsConfigProperty(metrics=["EventCount"]),
        )


def _stream_of(table: dynamodb.Table) -> str:
    if table.table_stream_arn is None:
        raise ValueError("the alerts table has no stream")
    return table.table_stream_arn
