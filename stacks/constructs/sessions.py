"""Sessions of Session Manager: the only way onto a host."""

from __future__ import annotations

from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from stacks.constructs.function import log_group
from stacks.constructs.permissions import allow
from vaultwatch.settings import Settings

_IDLE_MINUTES, _LONGEST_MINUTES = 20, 480


class Sessions(Construct):
    """A document with which people open a shell on a host; what happens there is logged as it happens.

    Args:
        scope: The construct that holds the document.
        construct_id: The id within `scope`.
        settings: How long the log is kept.

    Attributes:
        document: The name of the document.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings) -> None:
        super().__init__(scope, construct_id)
        self._group = log_group(self, "Logs", settings)
        inputs = {
            "cloudWatchLogGroupName": self._group.log_group_name,
            "cloudWatchEncryptionEnabled": False,  # by a key of ours; CloudWatch Logs encrypts with its own
            "cloudWatchStreamingEnabled": True,
            "idleSessionTimeout": str(_IDLE_MINUTES),
            "maxSessionDuration": str(_LONGEST_MINUTES),
            "runAsEnabled": False,
            "shellProfile": {"linux": "exec bash -l"},
        }
        content = {
            "schemaVersion": "1.0",
            "description": "A session on a host of Vaultwatch",
            "sessionType": "Standard_Stream",
            "inputs": inputs,
        }
        # Known without an import, for the outputs of other stacks. SSM refuses a name that begins with aws.
        self.document = f"session-{settings.deployment}-hosts"
        ssm.CfnDocument(
            self,
            "Document",
            name=self.document,
            content=content,
            document_type="Session",
            update_method="NewVersion",
        )

    @property
    def log(self) -> list[iam.PolicyStatement]:
        """What a host needs to log its sessions."""
        return _write_session_logs(self._group)


def _write_session_logs(group: logs.ILogGroup) -> list[iam.PolicyStatement]:
    actions = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    return [
        allow("LogSessions", actions, [group.log_group_arn]),
        allow("FindSessionLogs", ["logs:DescribeLogGroups"], ["*"]),
    ]
