"""The services of AWS that hosts use. This module does without the CDK, so that the page of the costs can read it."""

from __future__ import annotations

INTERFACES = (
    "cloudformation",  # a host signals that it is ready
    "ec2",  # a host attaches its volumes; nodes find each other
    "kinesis-streams",  # `ship` sends frames
    "kms",  # Vault unseals itself
    "lambda",  # a host asks for its certificate
    "logs",  # sessions are logged
    "monitoring",  # metrics of the hosts
    "secretsmanager",  # the recovery keys of a new cluster
    "ssm",  # sessions
    "ssmmessages",
    "sts",  # a host proves which one it is
)
"""The services with an interface endpoint, by the end of the service's name."""
