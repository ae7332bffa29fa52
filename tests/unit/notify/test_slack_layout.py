"""Slack gets every notification completely, within its limits, and no text from a log acts as markup."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slack_sdk.models.blocks import Block

from testbed.slack import fault
from tests.unit.notify.samples import a_message, a_summary
from tests.unit.store.alerts import an_alert
from vaultwatch.notify.slack.layout import posts
from vaultwatch.rules.facts import Level

LOGGED = ("principal", "path", "namespace", "summary", "remote_address", "cluster", "node", "time")


def texts_by_type(value: Any) -> Iterator[tuple[str, str]]:
    """Yield every text in the blocks, with the type of its element."""
    if isinstance(value, dict):
        if isinstance(value.get("text"), str):
            yield value["type"], value["text"]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from texts_by_type(item)


def shown(payloads: list[dict[str, Any]]) -> str:
    return "\n".join(text for payload in payloads for _, text in texts_by_type(payload["blocks"]))


class TestPosts:
    def test_show_all_that_a_reader_needs(self) -> None:
        (post,) = posts(a_message())
        text = shown([post])
        for part in (an_alert().summary, an_alert().id, "alice", "secret/data/app", "root", "192.0.2.7", "prod/vault-1",
                     "2024-05-06 07:08:09 UTC", "succeeded", "vault token revoke -accessor abc", "\U0001f7e0 HIGH",
                     "Root policy used", "Repeats in the next 15 minutes"):  # fmt: skip
            assert part in text
        assert post["text"] == "\U0001f7e0 HIGH: Root policy used"

    def test_the_title_of_the_first_alert_is_in_the_headline_only(self) -> None:
        (post,) = posts(a_message(an_alert(summary="S"), an_alert(rule="other", title="Another title", summary="S")))
        text = shown([post])
        assert text.count("Root policy used") == 1
        assert text.count("Another title") == 1

    def test_a_summary_shows_its_counts_and_groups(self) -> None:
        text = shown(posts(a_summary(3, left_out=1000)))
        assert "1,009 alerts that no earlier notification shows" in text
        assert "3 x Root policy used by p2" in text
        assert "1,000 x in groups not listed here" in text

    def test_text_of_a_log_is_never_markup_and_never_in_the_fallback(self) -> None:
        evil = an_alert(**dict.fromkeys(LOGGED, "<!channel> <https://evil|x> *EVIL* :smile:"), actions=("EVIL",))
        for post in posts(a_message(evil, merged=a_summary().merged)):
            assert "EVIL" not in post["text"]
            found = list(texts_by_type(post["blocks"]))
            assert {kind for kind, text in found if "EVIL" in text} == {"plain_text", "text"}
            assert {kind for kind, _ in found} <= {"plain_text", "text"}
            elements = [element for block in post["blocks"] for element in block.get("elements", [])]
            assert {e["type"] for e in elements} <= {"rich_text_preformatted", "plain_text"}

    def test_a_notification_too_long_for_one_post_is_divided(self) -> None:
        alerts = [an_alert(rule=f"rule_{n}", actions=tuple(f"{n}-{m} {'x' * 2000}" for m in range(9)))
                  for n in range(6)]  # fmt: skip
        payloads = posts(a_message(*alerts))
        assert len(payloads) > 1
        assert [payload["text"][-len(" (1 of 2)") :] for payload in payloads[:2]] == [
            f"({n} of {len(payloads)})".rjust(9) for n in (1, 2)
        ]
        text = shown(payloads)
        assert all(action in text for alert in alerts for action in alert.actions)
        assert all(alert.id in text for alert in alerts)

    def test_one_too_long_for_a_post_is_written_shorter_and_says_once_what_its_alerts_share(self) -> None:
        long = {"path": "p" * 400, "namespace": "", "actions": ("Look. " * 60,)}
        acts = [an_alert(f"e{n}", **long | {"summary": f"S{n} " + "s" * 1_400}) for n in range(5)]
        acts[1] = an_alert("e1", **long | {"namespace": "prod/", "path": "short", "summary": "S1"})
        acts[3] = an_alert("e3", **long | {"actions": ("Another step.",), "summary": "S3"})
        (post,) = posts(a_message(*acts))
        text = shown([post])
        assert [text.count(alert.id) for alert in acts] == [1] * 5
        assert (text.count("What to do next:"), text.count("Look. " * 59), text.count("Another step.")) == (2, 1, 1)
        assert text.count('path       "ppp') == 2
        assert "path       short\nnamespace  prod/" in text
        assert text.count("as above   who, path, from, node, time, outcome, rule") == 2

    @pytest.mark.parametrize("same", ["p" * 500, "\U000e0001" * 1_015])
    def test_what_only_begins_like_the_above_is_shown(self, same: str) -> None:
        acts = [an_alert(f"e{n}", path=f"{same}{n}", summary="s" * 1_500, error="e" * 300) for n in range(5)]
        (post,) = posts(a_message(*acts))
        assert shown([post]).count("path       ") == 5

    def test_a_cut_text_has_the_length_of_the_whole(self) -> None:
        assert "(501 characters)" in shown(posts(a_message(an_alert("e", path="p" * 501))))

    def test_alerts_of_many_rules_on_one_event_have_a_line_each_behind_the_first(self) -> None:
        texts = {"path": "p" * 900, "namespace": "n" * 900, "error": "e" * 900, "summary": "s" * 1_500}
        acts = [an_alert("e", rule=f"rule_{n}", actions=tuple(f"{n}{m} {'x' * 120}" for m in range(6)), **texts)
                for n in range(16)]  # fmt: skip
        (post,) = posts(a_message(*acts))
        assert all(f"rule_{n}" in shown([post]) for n in range(16))
        assert "13 more alerts on the same event:" in shown([post])

    def test_of_several_long_runbooks_that_of_the_first_is_shown_and_a_command_that_shows_the_others(self) -> None:
        acts = [an_alert(f"e{n}", rule=f"rule_{n}", actions=(f"{n}a{'x' * 2_000}", f"{n}b{'y' * 2_000}"))
                for n in range(3)]  # fmt: skip
        (post,) = posts(a_message(*acts))
        text = shown([post])
        assert all(action in text for action in acts[0].actions)
        assert "1ax" not in text
        assert all(f"(rule rule_{n})" in text for n in (1, 2))
        assert "vaultwatch rules show" in text

    def test_one_that_fits_repeats_everything(self) -> None:
        (post,) = posts(a_message(*(an_alert(f"e{n}") for n in range(3))))
        assert shown([post]).count("vault token revoke -accessor abc") == 3
        assert "as above" not in shown([post])

    @settings(max_examples=25)
    @given(st.data())
    def test_are_valid_for_slack_whatever_a_log_contains(self, data: st.DataObject) -> None:
        anything = st.text(max_size=40) | st.sampled_from(
            ["\x1b" * 5000, "\u202e" * 4000, "😀" * 4000, "\\" * 9000, ""]
        )
        texts = st.fixed_dictionaries(dict.fromkeys(LOGGED, anything))
        alerts = [
            an_alert(rule=f"r{n}", actions=tuple(data.draw(st.lists(anything, max_size=5))), **data.draw(texts))
            for n in range(data.draw(st.integers(1, 6)))
        ]
        for payload in posts(a_message(*alerts, merged=a_summary(20).merged)):
            sent = json.loads(json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace"))
            assert fault(sent) == ""
            for block in payload["blocks"]:
                parsed = Block.parse(block)
                assert parsed is not None
                parsed.validate_json()
            assert all(
                char.isprintable() or char == "\n" for _, text in texts_by_type(payload["blocks"]) for char in text
            )

    @pytest.mark.parametrize("level", list(Level))
    def test_of_every_level(self, level: Level) -> None:
        assert level.upper() in posts(a_message(an_alert(level=level)))[0]["text"]
