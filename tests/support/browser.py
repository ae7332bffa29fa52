"""A Chromium that a test controls through its DevTools pipe: https://chromedevtools.github.io/devtools-protocol/."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe"),
)
_REDIRECTED = 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null'
"""Chromium reads commands from descriptor 3, and writes answers to 4."""


class Browser(AbstractContextManager["Browser"]):
    """One browser with one page."""

    def __init__(self, profile: Path) -> None:
        """Start it, with a new profile in this folder."""
        self._process = subprocess.Popen(
            ["bash", "-c", _REDIRECTED, "bash", "chromium", *_OPTIONS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._number = 0
        self._session = ""
        self._rest = b""
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(one["targetId"] for one in targets if one["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        self.call("Page.enable")

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol, and return its result."""
        self._number += 1
        command: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        command |= {"sessionId": self._session} if self._session else {}
        assert self._process.stdin
        self._process.stdin.write(json.dumps(command).encode() + b"\0")
        self._process.stdin.flush()
        found = self._read(id=self._number)
        assert "error" not in found, found
        result: dict[str, Any] = found["result"]
        return result

    def open(self, address: str) -> None:
        """Open a page, and wait until it is loaded."""
        self.call("Page.navigate", url=address)
        self.wait("Page.loadEventFired")

    def wait(self, event: str) -> None:
        """Wait for an event."""
        self._read(method=event)

    def run(self, script: str) -> Any:
        """Return the value of an expression in JavaScript."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def show(self, *, width: int, media: str = "screen", scheme: str = "light") -> None:
        """Show the page in a window of this width, as on a screen or as printed, in a colour scheme."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", media=media, features=[feature])

    def press(self, key: str) -> None:
        """Press a key: `Tab` or `Enter`."""
        codes: Mapping[str, dict[str, Any]] = {
            "Tab": {"windowsVirtualKeyCode": 9},
            "Enter": {"windowsVirtualKeyCode": 13, "text": "\r"},
        }
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, **codes[key])

    def print_pages(self) -> int:
        """Print the page on A4, and return how many pages that takes."""
        printed = self.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=True)["data"]
        return base64.b64decode(printed).count(b"/Type /Page\n")

    def _read(self, **wanted: object) -> dict[str, Any]:
        """Return the next answer or event that has these members."""
        while True:
            found = json.loads(self._message())
            if all(found.get(name) == value for name, value in wanted.items()):
                message: dict[str, Any] = found
                return message

    def _message(self) -> bytes:
        assert self._process.stdout
        while b"\0" not in self._rest:
            part = self._process.stdout.read1(1 << 20)  # type: ignore[attr-defined]  # a pipe is buffered
            assert part, "the browser has ended"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return message
