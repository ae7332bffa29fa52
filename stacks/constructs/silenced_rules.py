"""A warning of the CDK if the rules of a deployment are silenced; `cdk synth --strict` makes it an error."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from aws_cdk import Validations
from constructs import IConstruct

from stacks.bundling import ROOT
from vaultwatch.rules.compiling.silencing import Compared, compared
from vaultwatch.rules.differences import differences
from vaultwatch.rules.pack import shipped_rules
from vaultwatch.settings import Settings


def warn_of_silenced_rules(scope: IConstruct, settings: Settings, folder: Path = ROOT / "rules") -> None:
    """Warn of rules that are missing, or that filters, an overrides.yml or their own files make quieter.

    Args:
        scope: The construct that the warning names.
        settings: The settings of the deployment, which name the rules that may be.
        folder: The rules of the deployment.

    Raises:
        RuleError: A rule does not compile.
    """
    used, loud = ([rule for rule in rules if rule.name not in settings.silenced_rules] for rules in _compared(folder))
    if found := list(differences(used, loud)):
        Validations.of(scope).add_warning(
            "vaultwatch:rules-silenced",
            f"{'; '.join(found)}. If that is intended, name these rules in silenced_rules under vaultwatch in cdk.json "
            "(docs/settings.md).",
        )


@cache
def _compared(folder: Path) -> Compared:
    """Compile the rules once for all deployments that are synthesized together."""
    return compared(folder, shipped_rules())
