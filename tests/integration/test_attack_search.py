"""Whatever stands beside a critical act, with its id too, one e-mail and one Slack post name it, and neither is late.

Names mean: what was done, by whom, from where, and with what outcome. The attacks are found by a small seeded search,
and go the way of a deployment: frames, evaluate, the table, the topic, e-mails, the queue, notify, and last sweep.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from testbed.deployment import Deployment, deploy
from tests.integration.test_alerting_chain import archive
from tests.integration.test_hostile_search import DAMAGES
from tests.support.attacks import Attack, Attacks, plain

LATER_SECONDS = 60.0
"""How much later than without an attack; architecture.md promises that."""
OF_A_MINUTE = 8
"""Attacks: with what is forged, fewer urgent notifications than a minute may have."""


@pytest.fixture
def deployment(deployed_templates: dict[str, Any], bundle: Path) -> Iterator[Deployment]:
    with deploy(deployed_templates, bundle) as deployment:
        yield deployment


def seconds_of(deployment: Deployment, attacks: Sequence[Attack], chance: random.Random) -> float:
    """Send the frames of attacks, with damaged ones between them, and return how long the deployment was busy."""
    aws = deployment.aws
    began = aws.now()
    for number in range(max(len(one.calls) for one in attacks)):
        calls = [one.calls[number] for one in attacks if len(one.calls) > number]
        frames = [deployment.frame(call) for call in calls if call]
        damaged = [chance.choice(DAMAGES)(frames[0])] if len(attacks) > 1 and frames else []
        deployment.put(*chance.sample([*frames, *damaged], len(frames) + len(damaged)))
        aws.run_until_idle(timeout=300)
    return aws.now() - began


def named(deployment: Deployment, attacks: Sequence[Attack]) -> dict[int, tuple[int, int]]:
    """Return in how many e-mails each act is named, and in how many Slack posts its alert is."""
    mails, posts = (
        [mail.text for mail in deployment.aws.mails],
        [str(post.payload) for post in deployment.slack.messages],
    )
    found = dict[int, tuple[int, int]]()
    for one in attacks:
        naming = one.named_by(mails)
        ids = {id_ for mail in naming for id_ in re.findall(r"\b[0-9a-f]{32}\b", mail)}
        found[one.number] = len(naming), sum(any(id_ in post for id_ in ids) for post in posts)
    return found


@pytest.mark.parametrize(
    ("seed", "count"), [(24, OF_A_MINUTE), *(pytest.param(seed, 80, marks=pytest.mark.long) for seed in range(6, 9))]
)
def test_one_mail_and_one_post_name_each_act_in_time(deployment: Deployment, seed: int, count: int) -> None:
    aws, search, chance = deployment.aws, Attacks(seed), random.Random(seed)
    first = plain(10**6)
    otherwise = seconds_of(deployment, [first], chance)
    assert named(deployment, [first]) == {first.number: (1, 1)}
    for at in range(0, count, OF_A_MINUTE):
        attacks = [search.attack(number) for number in range(at, min(at + OF_A_MINUTE, count))]
        assert seconds_of(deployment, attacks, chance) < otherwise + LATER_SECONDS
        once = {one.number: (1, 1) for one in attacks}
        assert named(deployment, attacks) == once
        for one in attacks:
            archive(deployment, one.archived, number=one.number)
        aws.tick(LATER_SECONDS + 1, timeout=300)
        assert named(deployment, attacks) == once
    assert not aws.failures
