"""Lines of real servers through the detector and the store: exactly which notifications a person gets, and when.

Those in `tests/data/replays` were recorded from OpenBao 2.6.2. A user tries to remove an audit device, gets the right
to do so from an administrator three seconds later, and removes it three seconds after that. An administrator writes a
harmless policy, and six seconds later opens the policy `default` to everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from testbed.recorded import load
from vaultwatch.alerts import Alert, alert_of
from vaultwatch.detection.detector import Detector
from vaultwatch.dispatch.groups import file_alert
from vaultwatch.dispatch.notification import Notification
from vaultwatch.dispatch.routes import Route
from vaultwatch.notify.text import headline
from vaultwatch.reading.identity import parse_time
from vaultwatch.rules.facts import Service
from vaultwatch.rules.pack import shipped_rules
from vaultwatch.store.sqlite import SqliteStore

REPLAYS = Path(__file__).parents[2] / "data" / "replays"
PRODUCTS = ("vault-1.14.2", "openbao-2.6.2")


def recorded(name: str) -> list[tuple[float, Alert]]:
    """Return the alerts of a replay, each with the second, counted from the first one, at which it was raised."""
    return _timed(_alerts("audit", (REPLAYS / f"{name}.jsonl").read_bytes().splitlines()))


def scenario(name: str) -> list[tuple[float, Alert]]:
    """Return the alerts of both logs of a recorded scenario in the same way."""
    lines = load(name).lines
    services: tuple[Service, ...] = ("audit", "server")
    return _timed([alert for one in services for alert in _alerts(one, [line for of, line in lines if of == one])])


def _alerts(service: Service, lines: Sequence[bytes]) -> list[Alert]:
    detector = Detector(shipped_rules(), source="server" if service == "server" else "audit")
    return [alert_of(verdict) for verdict in [*detector.feed(lines), *detector.flush()]]


def _timed(alerts: Sequence[Alert]) -> list[tuple[float, Alert]]:
    moments = [moment.timestamp() for alert in alerts if (moment := parse_time(alert.time))]
    return sorted(zip((at - min(moments) for at in moments), alerts, strict=True), key=lambda pair: pair[0])


def notified(found: Sequence[tuple[float, Alert]], folder: Path) -> Iterator[tuple[float, Notification]]:
    """Yield what a person gets, with the second; summaries are made whenever they are due, as `watch` does."""
    with closing(SqliteStore(folder / "alerts.sqlite", [Route("people")])) as store:
        for at, alert in found:
            while (due := store.next_due(at)) is not None and due <= at:
                yield from ((due, one) for one in store.settle(due))
            yield from ((at, one) for one in store.file([file_alert(alert)], at).notifications)
        while (due := store.next_due(at)) is not None:
            at = due
            yield from ((due, one) for one in store.settle(due))


def headlines(found: Sequence[tuple[float, Alert]], folder: Path) -> list[tuple[int, str]]:
    return [(int(at), headline(one).partition(" since ")[0]) for at, one in notified(found, folder)]


def test_a_denied_removal_of_an_audit_device_does_not_hide_the_one_six_seconds_later(tmp_path: Path) -> None:
    sent = list(notified(recorded("device-removal-denied-then-done"), tmp_path))
    assert [(int(at), headline(one)) for at, one in sent] == [
        (0, "CRITICAL: Audit device removal denied or failed"),
        (3, "MEDIUM: Policy written"),
        (6, "CRITICAL: Audit device disabled"),
    ]
    assert sent[2][1].alerts[0].summary == "userpass-bob (127.0.0.1) disabled audit device siem: succeeded"


def test_a_harmless_policy_does_not_hide_the_one_that_opens_everything(tmp_path: Path) -> None:
    sent = list(notified(recorded("harmless-policy-then-default"), tmp_path))
    assert [(int(at), one.disposition) for at, one in sent] == [(0, "first"), (6, "first")]
    assert headline(sent[1][1]) == "HIGH: Policy named default written"
    assert [alert.summary for alert in sent[1][1].alerts] == [
        "userpass-alice (127.0.0.1) wrote policy default: succeeded"
    ]


@pytest.mark.parametrize("product", PRODUCTS)
def test_the_eighteen_messages_of_an_audit_outage_are_two_notifications_and_a_count_of_each(
    product: str, tmp_path: Path
) -> None:
    found = scenario(f"{product}/audit-all-fail")
    assert [alert.rule for _, alert in found].count("server_audit_blocked") == 9
    assert sorted(headlines(found, tmp_path)) == [
        (0, "CRITICAL: All audit devices failed, requests are refused"),
        (0, "CRITICAL: Audit device disabled"),
        (0, "CRITICAL: Audit device removal requested"),
        (0, "HIGH: Audit device failed"),
        (300, "CRITICAL: All audit devices failed, requests are refused: 8 more"),
        (900, "HIGH: Audit device failed: 8 more"),
    ]


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_root_token_that_makes_another_is_notified_and_what_it_does_next_is_summarized(
    product: str, tmp_path: Path
) -> None:
    assert headlines(scenario(f"{product}/root-token-created"), tmp_path) == [
        (0, "HIGH: Token with the root policy used"),
        (0, "CRITICAL: Root token created by the token API"),
        (0, "CRITICAL: Root token created by the token API"),
        (0, "MEDIUM: Long-lived token created"),
        (0, "MEDIUM: Token role written or deleted"),
        (0, "HIGH: Token with an administrator's policy created"),
        (0, "MEDIUM: Token accessors listed"),
        (0, "MEDIUM: Token with policies that its creator may not give refused"),
        (900, "HIGH: Token with the root policy used: 1 more"),
    ]


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_cancelled_root_generation_does_not_hide_the_one_that_makes_a_token(product: str, tmp_path: Path) -> None:
    shown = [text for _, text in headlines(scenario(f"{product}/generate-root"), tmp_path)]
    assert shown[:4] == [
        "HIGH: Root token generation started",
        "MEDIUM: Root token generation cancelled",
        "MEDIUM: Key share submitted for a root token",
        "CRITICAL: Root token generated (server log)",
    ]
    assert set(shown[4:]) <= {
        "HIGH: Token with the root policy used",
        "HIGH: Token with the root policy used: 1 more",
    }
