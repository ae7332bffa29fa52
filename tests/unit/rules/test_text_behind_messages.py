"""What a program has put behind each line of the server log (a comma, a host, a tag of HTML) hides no seal."""

from __future__ import annotations

import pytest

from vaultwatch.detection.detector import Detector
from vaultwatch.rules.pack import shipped_rules

BEHIND = ["", ",", ";", ")", '"', "$", "^M", "#015", " | vault-0", ", host=vault-0", "```", "</span>", "<br>", "\u200b"]


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("state", ["sealed", "unsealed"])
def test_it_raises_the_same_alert(state: str, behind: str) -> None:
    detector = Detector(shipped_rules(), unwrap=True)
    line = f"2026-11-21T07:29:59.352Z [INFO]  core: vault is {state}{behind}\n".encode()
    detector.begin_log(line, name="log")
    verdicts = [*detector.feed([line]), *detector.flush()]
    assert [verdict.rule.name for verdict in verdicts] == [f"server_{state}"]
