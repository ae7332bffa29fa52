"""The page in a browser: it fits, loads nothing, and runs nothing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.unit.report.test_page import DEVICES, hostile_log
from vaultwatch.cli import main

_HARNESS = """<!doctype html><body>
<iframe src="report.html" width="1100" height="900"></iframe>
<iframe src="report.html" width="420" height="900"></iframe>
<script>
const seen = () => [...document.querySelectorAll("iframe")].map(frame => {
  const page = frame.contentDocument, root = page.documentElement;
  page.querySelectorAll("details").forEach(one => one.open = true);
  return {
    over: root.scrollWidth - root.clientWidth, ran: "ran" in frame.contentWindow, text: page.body.innerText,
    foreign: page.querySelectorAll("script, img, iframe, object, [style], [onclick], [onerror]").length,
    styled: frame.contentWindow.getComputedStyle(page.querySelector(".cards")).display,
  };
});
addEventListener("load", () => {
  const out = document.createElement("pre"); out.textContent = JSON.stringify(seen()); document.body.append(out);
});
</script>"""


@contextmanager
def served(pages: dict[str, bytes]) -> Iterator[tuple[str, list[str]]]:
    """Serve pages, and note the paths of all requests."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = pages.get(self.path, b"")
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.skipif(
    shutil.which("chromium") is None, reason="chromium is not on PATH (Debian: apt-get install chromium)"
)
def test_the_page_fits_loads_nothing_and_runs_nothing(tmp_path: Path) -> None:
    with served({}) as (trap, trapped):
        hostile = hostile_log(tmp_path / "hostile.log")
        named = f'<img src="{trap}/img"><script>ran=1</script><style>@import "{trap}/css"</style>'
        lines = hostile.read_text().replace("javascript:alert(1)", json.dumps(named)[1:-1])
        hostile.write_text(lines)
        assert main(["report", str(DEVICES), str(hostile), "-o", str(tmp_path / "report.html")]) == 1
        pages = {"/": _HARNESS.encode(), "/report.html": (tmp_path / "report.html").read_bytes()}
        with served(pages) as (address, asked):
            wide, narrow = browse(address, tmp_path)
    for page in (wide, narrow):
        assert page["over"] <= 0
        assert page["styled"] == "grid"
        assert not page["ran"]
        assert not page["foreign"]
        assert named[:40] in page["text"]
    assert set(asked) <= {"/", "/report.html", "/favicon.ico"}
    assert not trapped


def browse(address: str, folder: Path) -> list[dict[str, Any]]:
    """Open the harness in a browser, and return what it has seen in each frame."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    quiet = ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={folder / 'profile'}"]
    ran = subprocess.run(
        ["chromium", *options, *quiet, "--dump-dom", f"{address}/"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r"<pre>(.*?)</pre>", ran.stdout, re.DOTALL)
    assert found, ran.stderr
    seen: list[dict[str, Any]] = json.loads(unescape(found[1]))
    return seen
