"""Functions publish ten notifications per call, and those for people within the limit of e-mail."""

from __future__ import annotations

from typing import Any

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
