"""Post JSON to Slack over HTTPS, through the environment's proxy. No error contains a URL, a token or a password.

An exception of urllib3 may quote the request. So errors are raised outside the `except` block: otherwise a traceback
would show the original exception too.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import urllib3

from vaultwatch.errors import DeliveryError, SettingError

_MAX_ANSWER_BYTES = 64 * 1024
_CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: status, the first 64 KiB of its body, and its `Retry-After` header ("" without one)."""

    status: int
    body: bytes
    retry_after: str


class JsonClient:
    """Posts JSON to one host, without following redirects and without retries: those are the caller's decision."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        """Prepare connections to the host of `url`.

        Args:
            url: A URL from `checked_url`.
            timeout_seconds: How long a read may take.

        Raises:
            SettingError: `HTTPS_PROXY` cannot be used.
        """
        timeout = urllib3.Timeout(connect=min(_CONNECT_SECONDS, timeout_seconds), read=timeout_seconds)
        self._proxy, self._pool = _pool(url, retries=False, num_pools=1, maxsize=1, timeout=timeout)
        # At DEBUG urllib3 logs the path of each request, and the path of a webhook is a secret.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)

    def post(self, url: str, payload: Mapping[str, Any], headers: Mapping[str, str] = {}) -> Answer:
        """Post `payload` and return the answer, whatever its status.

        Raises:
            DeliveryError: There was no answer.
        """
        body = json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace")
        problem = ""
        try:
            return self._exchange(url, body, {**headers, "Content-Type": "application/json; charset=utf-8"})
        except (urllib3.exceptions.HTTPError, OSError) as error:
            problem = type(error).__name__
        raise DeliveryError(f"Slack could not be reached{self._proxy}: {problem}")

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _exchange(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        response = self._pool.request("POST", url, body=body, headers=headers, redirect=False, preload_content=False)
        try:
            answer = response.read(_MAX_ANSWER_BYTES)
        finally:
            response.close()
        return Answer(response.status, answer, response.headers.get("Retry-After", ""))


def checked_url(text: str, what: str) -> str:
    """Return a URL in its normal form.

    Args:
        text: The URL, which may contain a secret.
        what: The name of the setting in an error, for example "the Slack webhook URL".

    Raises:
        SettingError: This is neither an https URL nor an http URL of this machine.
    """
    problem = ""
    try:
        url = urllib3.util.parse_url(text.strip())
    except urllib3.exceptions.LocationParseError:
        problem = "is not a URL"
    else:
        if not url.host or not (url.scheme == "https" or (url.scheme == "http" and _is_loopback(url.host))):
            problem = "must begin with https:// (http:// to this machine only)"
    if problem:
        raise SettingError(f"{what} {problem}")
    return url.url


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _pool(url: str, **options: Any) -> tuple[str, urllib3.PoolManager]:
    """Return the name of the proxy for errors ("" without a proxy), and the connections to the host of `url`."""
    target = urllib3.util.parse_url(url)
    host = (target.host or "").strip("[]")
    proxy = urllib.request.getproxies().get("https", "")
    # Plain http is only for this machine, which needs no proxy.
    if target.scheme == "http" or not proxy or urllib.request.proxy_bypass(host):
        return "", urllib3.PoolManager(**options)
    return _through(proxy, options)


def _through(proxy: str, options: Mapping[str, Any]) -> tuple[str, urllib3.PoolManager]:
    problem = "it names no host"
    try:
        url = urllib3.util.parse_url(proxy if "://" in proxy else f"http://{proxy}")
        if url.host:
            headers = urllib3.make_headers(proxy_basic_auth=unquote(url.auth)) if url.auth else {}
            manager = urllib3.ProxyManager(url._replace(auth=None).url, proxy_headers=headers, **options)
            return f" through the proxy {url.netloc}", manager
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        problem = type(error).__name__
    raise SettingError(f"HTTPS_PROXY is not the URL of an HTTP proxy ({problem})")
