"""Slack through a proxy: a real CONNECT proxy before a real HTTPS server, both on loopback."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.proxy import ConnectProxy
from testbed.slack import SlackStandIn
from tests.support.certificates import make_certificates
from tests.unit.notify.samples import a_message
from vaultwatch.errors import DeliveryError, SettingError
from vaultwatch.notify.slack.bot import SlackBot
from vaultwatch.notify.slack.webhook import SlackWebhook
from vaultwatch.store.sqlite_threads import SqliteThreads

VARIABLES = ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy")


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def slack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlackStandIn]:
    """A Slack that serves HTTPS, with a certificate that this process trusts."""
    certificates = make_certificates(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    with SlackStandIn(interval_seconds=0, certificate=certificates.server) as slack:
        yield slack


def send_by_webhook(slack: SlackStandIn) -> None:
    sink = SlackWebhook(slack.webhook_url, timeout_seconds=5)
    sink.send(a_message())
    sink.close()


def target(slack: SlackStandIn) -> str:
    return slack.page_url.removeprefix("https://").rstrip("/")


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_the_proxy_of_the_environment_is_used(
    slack: SlackStandIn, monkeypatch: pytest.MonkeyPatch, variable: str, scheme: str
) -> None:
    with ConnectProxy() as proxy:
        monkeypatch.setenv(variable, f"{scheme}{proxy.address}")
        send_by_webhook(slack)
        assert proxy.tunnels == [target(slack)]
    assert slack.accepted == 1


def test_by_a_bot_too(slack: SlackStandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with ConnectProxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        bot = SlackBot(slack.token, slack.channel, SqliteThreads(tmp_path / "threads"), api_url=slack.api_url)
        bot.send(a_message())
        bot.close()
        assert proxy.tunnels == [target(slack)]


@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize("hosts", ["localhost", "example.org, localhost", "*"])
def test_no_proxy_is_honoured(slack: SlackStandIn, monkeypatch: pytest.MonkeyPatch, variable: str, hosts: str) -> None:
    with ConnectProxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        monkeypatch.setenv(variable, hosts)
        send_by_webhook(slack)
        assert proxy.tunnels == []
    assert slack.accepted == 1


def test_plain_http_to_this_machine_uses_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with SlackStandIn(interval_seconds=0) as slack:
        send_by_webhook(slack)
        assert slack.accepted == 1


def test_the_proxy_s_credentials_are_sent(slack: SlackStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    with ConnectProxy(credentials="ops:p@ss word") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://ops:p%40ss%20word@{proxy.address}")
        send_by_webhook(slack)
        assert (proxy.tunnels, proxy.refused) == ([target(slack)], 0)


def test_a_proxy_that_refuses_is_named_without_its_credentials(
    slack: SlackStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ConnectProxy(credentials="ops:right") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://ops:SECRET@{proxy.address}")
        with pytest.raises(DeliveryError, match=f"through the proxy {proxy.address}: ") as caught:
            send_by_webhook(slack)
        assert proxy.refused == 1
    said = "".join(traceback.format_exception(caught.value))
    assert "SECRET" not in said
    assert slack.webhook_url.rpartition("/")[2] not in said


def test_an_unreachable_proxy_delays_the_notification(slack: SlackStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    with ConnectProxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
    with pytest.raises(DeliveryError, match="through the proxy"):
        send_by_webhook(slack)
    assert slack.accepted == 0


@pytest.mark.parametrize("url", ["socks5://ops:SECRET@127.0.0.1:1", "http://ops:SECRET@[::1", "http://ops:SECRET@"])
def test_a_proxy_that_cannot_be_used_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(SettingError, match="HTTPS_PROXY is not the URL of an HTTP proxy") as caught:
        SlackWebhook("https://hooks.slack.com/services/T0/B0/x")
    assert "SECRET" not in "".join(traceback.format_exception(caught.value))


def test_a_server_without_a_trusted_certificate_gets_nothing(
    slack: SlackStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(DeliveryError, match="SSLError"):
        send_by_webhook(slack)
    assert slack.accepted == 0
