"""Whatever a log contains, it can produce no fact, line, link or direction of its own in a notification."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.notify.samples import LOGGED, a_group, a_message
from tests.unit.store.alerts import an_alert
from vaultwatch.alerts import Alert
from vaultwatch.notify.slack.layout import posts
from vaultwatch.notify.text import email_text, facts
from vaultwatch.printable import spelled_out
from vaultwatch.sentences import caller_with_id, error_words, message_sentence, sentence

PIECES = [
    "\n",
    "\r\n",
    "\u2028",
    "\x1b[2J",
    "\u202e",
    "\u2066",
    "\u200b",
    '"',
    "\u201d",
    "\uff02",
    "''",
    "\u05d0",
    "\u0300\u0300\u0300\u0300",
    "\\",
    " ",
    "  ",
]
PIECES += ["https://evil.example/x", "www.evil.example", "evil.example/reset", "<!channel>", "<@U1>", "@here", "&lt;"]
PIECES += [": succeeded", "outcome    succeeded", "rule       x", "CRITICAL: Sealed", "(entity 1)", " (10.0.0.1)", "…"]
TEXTS = st.one_of(
    st.text(max_size=60), st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=8).map("".join)
)
QUOTED = r'"[^"]*"'
PLAIN = r"[A-Za-z0-9_./@+*=~%$:…-]+"
NAME = rf"(?:{PLAIN}|{QUOTED}(?: \([\d,]+ characters\))?)"
CALLER = rf"(?:{NAME}|root token|token without a name|unauthenticated client|token with accessor {NAME}|entity {NAME})"
VALUES = {
    "who": rf"{CALLER}(?: {NAME})?(?: \(entity {NAME}\))?",
    "path": NAME,
    "namespace": NAME,
    "from": NAME,
    "node": NAME,
    "time": rf"(?:\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d [\w+:-]+|{NAME})",
    "outcome": rf"(?:succeeded|no response logged|denied or failed|(?:denied|failed): (?:{NAME}|permission denied))",
    "error": NAME,
    "rule": r"audit_root_policy_used",
    "alert": r"[0-9a-f]{32}",
}


def an_entry(text: str) -> dict[str, Any]:
    auth = {"display_name": text, "entity_id": text, "accessor": text, "metadata": {"role_name": text}}
    request = {"operation": text, "path": text, "remote_address": text, "namespace": {"path": text}}
    return {"auth": auth, "request": request, "error": text}


def hostile(text: str, service: str) -> Alert:
    """An alert as the detector makes it of an entry or a message that contains nothing but this text."""
    found = an_entry(text)
    error = error_words(found)
    said = (
        sentence(found, "failed", error)
        if service == "audit"
        else message_sentence(text, text, text, {text.replace("\0", ""): text})
    )
    logged = dict.fromkeys(("time", "principal", "path", "namespace", "remote_address", "cluster", "node"), text)
    who = caller_with_id(found) if service == "audit" else ""
    changes: dict[str, Any] = {**logged, "who": who, "summary": said, "error": error if service == "audit" else text}
    return an_alert(**changes, service=service, outcome="failed" if service == "audit" else "unknown", actions=())


def shown_in_slack(post: Any) -> Iterator[str]:
    """Yield every text of a post in Slack."""
    if isinstance(post, dict):
        for key, value in post.items():
            if key == "text" and isinstance(value, str):
                yield value
            else:
                yield from shown_in_slack(value)
    elif isinstance(post, list):
        for value in post:
            yield from shown_in_slack(value)


@given(TEXTS, st.sampled_from(["audit", "server"]))
@example('x" (10.0.0.1) read y: succeeded', "audit")
@example("x\noutcome    succeeded", "audit")
@example("x  outcome    succeeded", "server")
@example("\u202ex", "server")
def test_each_fact_is_a_plain_name_or_in_quotation_marks(text: str, service: str) -> None:
    for name, value in facts(hostile(text, service)):
        assert re.fullmatch(VALUES[name], value), (name, value)


@given(TEXTS, st.sampled_from(["audit", "server"]))
def test_a_notification_has_as_many_lines_as_its_own_format(text: str, service: str) -> None:
    harmless = hostile("x" if text else "", service)
    notification = a_message(hostile(text, service))
    assert email_text(notification).count("\n") == email_text(a_message(harmless)).count("\n")
    shown = [text for post in posts(notification) for text in shown_in_slack(post)]
    expected = [text for post in posts(a_message(harmless)) for text in shown_in_slack(post)]
    assert sum(text.count("\n") for text in shown) == sum(text.count("\n") for text in expected)


@given(TEXTS, st.sampled_from(["audit", "server"]))
@example("https://evil.example/x", "server")
@example('"evil.example/login', "audit")
def test_nothing_in_a_notification_is_a_link_or_moves_a_cursor(text: str, service: str) -> None:
    notification = a_message(hostile(text, service))
    for shown in (email_text(notification), *shown_in_slack(posts(notification))):
        assert not re.search(
            r"https?://|\bwww\.\S|(?<![\w@/.\-\]])[a-z0-9-]+\.[a-z]{2,}(?![\w.-])", shown, re.IGNORECASE
        )
        assert all(line == spelled_out(line) for line in shown.split("\n"))


@given(TEXTS, st.sampled_from(["audit", "server"]))
def test_the_texts_that_slack_interprets_come_from_no_log(text: str, service: str) -> None:
    for post in posts(a_message(hostile(text, service))):
        assert post["text"] == posts(a_message(hostile("x", service)))[0]["text"]
        assert "mrkdwn" not in json.dumps(post)


@settings(max_examples=10)
@given(st.lists(st.sampled_from(PIECES), min_size=20).map("".join), st.sampled_from(["audit", "server"]))
@example("x " * 200, "audit")
@example("x " + '"' * 200, "server")
def test_a_quotation_that_is_cut_is_closed(text: str, service: str) -> None:
    alert = hostile(text, service)
    notification = a_message(*[alert] * 7, merged=(replace(a_group(), alerts=(alert, alert)),))
    for shown in (email_text(notification), *shown_in_slack(posts(notification))):
        assert [line for line in shown.split("\n") if line.count('"') % 2] == []


@given(TEXTS)
def test_a_sentence_has_quotation_marks_in_pairs_and_none_in_a_text(text: str) -> None:
    for said in (
        sentence(an_entry(text), "failed", error_words(an_entry(text))),
        message_sentence(text, text, text, {}),
    ):
        assert said.count('"') % 2 == 0
        outside = re.sub(QUOTED, "", said)
        assert not re.search(r"[^A-Za-z0-9_./@+*=~%$:…(), '-]", outside)


def test_the_fields_that_may_come_from_a_log_are_all_tried_here() -> None:
    tried = {name for name, value in vars_of(hostile("~~", "audit")).items() if "~~" in str(value)}
    assert {*LOGGED} - {"event_key", "actions", "title"} <= tried | {"record"}


def vars_of(alert: Alert) -> dict[str, Any]:
    return {name: getattr(alert, name) for name in alert.__struct_fields__}
