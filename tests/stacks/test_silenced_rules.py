"""`cdk synth` warns of rules that a deployment silences, unless its settings name them."""

from __future__ import annotations

import shutil
from pathlib import Path

from aws_cdk import App, Stack

from stacks.bundling import ROOT
from stacks.constructs.silenced_rules import warn_of_silenced_rules
from tests.stacks.test_recipients import warnings
from vaultwatch.settings import Settings


def test_a_rule_that_is_silenced_gets_a_warning_unless_the_settings_name_it(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    shutil.copytree(ROOT / "rules", rules, ignore=shutil.ignore_patterns("fixtures"))
    (rules / "overrides.yml").write_text("audit_device_disabled: {enabled: false}\naudit_device_weak: {staged: true}\n")
    app = App(outdir=str(tmp_path / "out"))
    warn_of_silenced_rules(Stack(app, "a"), Settings(), rules)
    warn_of_silenced_rules(Stack(app, "b"), Settings(silenced_rules=("audit_device_disabled",)), rules)
    warn_of_silenced_rules(
        Stack(app, "c"), Settings(silenced_rules=("audit_device_disabled", "audit_device_weak")), rules
    )
    app.synth()

    disabled = "1 shipped rule is not used: audit_device_disabled; "
    staged = "1 shipped rule is used at a lower level, staged or with another window: audit_device_weak. "
    both, one = warnings(tmp_path / "out")
    assert both.startswith(disabled + staged + "If that is intended, name these rules in silenced_rules")
    assert one.startswith(staged)
