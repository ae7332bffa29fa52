"""Warnings of the CDK if a deployment would notify nobody; `cdk synth --strict` makes them errors."""

from __future__ import annotations

from aws_cdk import Validations
from constructs import IConstruct

from vaultwatch.settings import Settings


def warn_if_nobody_is_notified(scope: IConstruct, settings: Settings) -> None:
    """Warn if nobody would be notified of alerts, or of failures of Vaultwatch itself.

    Args:
        scope: The construct that the warnings name.
        settings: The settings of the deployment.
    """
    if not (settings.alert_emails or settings.slack):
        Validations.of(scope).add_warning(
            "vaultwatch:alerts-notify-nobody",
            "Nobody is notified of alerts: set alert_emails or slack under vaultwatch in cdk.json (docs/settings.md).",
        )
    if not settings.operations_emails:
        Validations.of(scope).add_warning(
            "vaultwatch:alarms-notify-nobody",
            "Nobody is notified when Vaultwatch itself fails: set operations_emails under vaultwatch in cdk.json "
            "(docs/alarms.md).",
        )
