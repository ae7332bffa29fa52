"""Functions publish ten notifications per call, and those for people within the limit of e-mail."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from msgspec.structs import replace

from tests.unit.notify.samples import a_message
from tests.unit.store.alerts import an_alert
from vaultwatch.dispatch.notification import Notification
from vaultwatch.notify.publisher import Publisher
from vaultwatch.notify.sink import Pace


class Client:
    """Accepts everything and records when; a wait advances its clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.taken: list[tuple[float, str]] = []
        self.calls = 0

    def publish_batch(self, **given: Any) -> Any:
        entries = given["PublishBatchRequestEntries"]
        self.calls += 1
        self.taken += [(self.now, one["MessageAttributes"]["disposition"]["StringValue"]) for one in entries]
        return {"Successful": [{"Id": one["Id"]} for one in entries]}

    def wait(self, seconds: float) -> None:
        self.now += seconds


def notifications(disposition: str, count: int) -> list[Notification]:
    return [replace(a_message(an_alert(f"{disposition}{number}")), disposition=disposition) for number in range(count)]


def test_nobody_gets_more_than_three_mails_a_second_and_suppressed_alerts_do_not_wait() -> None:
    client = Client()
    pace = Pace(1.0, clock=lambda: client.now, sleep=client.wait)
    for _ in range(2):  # two invocations of one process
        publisher = Publisher(client, "arn", lambda _: None, lambda: True, pace)  # type: ignore[arg-type]
        publisher.publish([*notifications("first", 4), *notifications("summary", 3), *notifications("suppressed", 40)])
        assert publisher.sent == 47
    notified = [at for at, disposition in client.taken if disposition != "suppressed"]
    assert notified == [0, 0, 0, 1, 1, 1, 2, 3, 3, 3, 4, 4, 4, 5]
    assert client.calls == 2 * 7


class Particular(Client):
    """Refuses what `refuses` names, one entry or a whole call."""

    def __init__(self, refuses: str, whole_call: bool, code: str = "InvalidParameter") -> None:
        super().__init__()
        self.refuses = refuses
        self.whole_call = whole_call
        self.code = code
        self.messages: list[str] = []

    def publish_batch(self, **given: Any) -> Any:
        entries = given["PublishBatchRequestEntries"]
        bad = {one["Id"] for one in entries if self.refuses in one["Message"]}
        self.calls += 1
        if bad and self.whole_call:
            raise ClientError({"Error": {"Code": self.code, "Message": ""}}, "PublishBatch")
        good = [one for one in entries if one["Id"] not in bad]
        self.messages += [one["Message"] for one in good]
        failed = [{"Id": id_, "SenderFault": self.code == "InvalidParameter", "Code": self.code} for id_ in bad]
        return {"Successful": [{"Id": one["Id"]} for one in good], "Failed": failed}


def published(client: Particular, paths: list[str]) -> tuple[Publisher, list[str]]:
    marked = list[str]()
    publisher = Publisher(client, "arn", marked.extend, lambda: True, Pace(0.0))  # type: ignore[arg-type]
    sent = [replace(a_message(an_alert(f"e{n}", path=path)), disposition="first") for n, path in enumerate(paths)]
    publisher.publish(sent)
    return publisher, marked


@pytest.mark.parametrize("whole_call", [False, True])
class TestWhatSnsRefuses:
    def test_is_published_without_its_texts_and_the_others_with_theirs(self, whole_call: bool) -> None:
        client = Particular("sys/unheard-of", whole_call)
        publisher, marked = published(client, ["sys/a", "sys/unheard-of", "sys/b"])
        assert (publisher.sent, len(marked), publisher.bare_count, publisher.refused) == (3, 3, 1, [])
        assert sum("sys/a" in text or "sys/b" in text for text in client.messages) == 2

    def test_stays_unsent_if_it_is_refused_without_texts_too(self, whole_call: bool) -> None:
        client = Particular("", whole_call)
        publisher, marked = published(client, ["sys/a"])
        assert (publisher.sent, marked, publisher.bare_count) == (0, [], 0)
        assert [one.alerts[0].id for one in publisher.refused] == [an_alert("e0").id]


@pytest.mark.parametrize("place", range(7))
@pytest.mark.parametrize("whole_call", [False, True])
def test_a_content_on_which_sns_fails_each_time_keeps_no_other_back(whole_call: bool, place: int) -> None:
    client = Particular("sys/unheard-of", whole_call, "InternalFailure")
    paths = [f"sys/{n}" for n in range(7)]
    paths[place] = "sys/unheard-of"
    publisher, marked = published(client, paths)
    assert (publisher.sent, len(marked), publisher.refused) == (6, 6, [])
    assert publisher.failure is not None


def test_while_sns_fails_it_is_called_a_few_times_only() -> None:
    client = Particular("", whole_call=True, code="ServiceUnavailable")
    publisher, marked = published(client, [f"sys/{n}" for n in range(100)])
    assert (publisher.sent, marked, publisher.goes_on) == (0, [], False)
    assert client.calls == 3
