"""The page in a browser: it fits, loads nothing and runs nothing, and can be printed, read and used by everybody."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple

import pytest

from tests.support.browser import Browser
from tests.unit.report.test_page import DEVICES, entry, hostile_log
from vaultwatch.cli import main

pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="chromium is not on PATH (Debian: apt-get install chromium)"
)
MOST_PAGES = 12
A4_PIXELS = 718
"""What Chromium's margins leave of the width of A4, at 96 pixels per inch."""
OPEN_ALL = "document.querySelectorAll('details').forEach(one => one.open = true)"
SEEN = """(() => {
  const root = document.documentElement, foreign = "script, img, iframe, object, [style], [onclick], [onerror]";
  return {
    scrolling: [...document.querySelectorAll(".scroll")].filter(one => one.scrollWidth > one.clientWidth)
      .map(one => one.innerText.slice(0, 80)),
    over: root.scrollWidth - root.clientWidth, ran: "ran" in window, text: document.body.innerText,
    foreign: document.querySelectorAll(foreign).length,
    styled: getComputedStyle(document.querySelector(".cards")).display,
  };
})()"""
FOLDED = """[...document.querySelectorAll("details")].flatMap(one => [...one.children].slice(1)).filter(one =>
  !one.checkVisibility({contentVisibilityAuto: true, visibilityProperty: true}) || !one.getBoundingClientRect().height
).length"""
CUT = """[...document.querySelectorAll("body, body *")].filter(one =>
  one.getBoundingClientRect().right > document.documentElement.clientWidth + 1
).map(one => one.outerHTML.slice(0, 200))"""
CONTRASTS = """(() => {
  const parts = color => {
    const [r, g, b, a] = color.match(/[\\d.]+/g).map(Number);
    return {rgb: [r, g, b], alpha: a === undefined ? 1 : a};
  };
  const light = color => parts(color).rgb.map(one => one / 255)
    .map(one => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
    .reduce((sum, one, index) => sum + one * [0.2126, 0.7152, 0.0722][index], 0);
  const ratio = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const behind = element => {
    for (let one = element; one; one = one.parentElement) {
      const color = getComputedStyle(one).backgroundColor;
      if (parts(color).alpha === 1) return color;
    }
  };
  const gap = document.querySelector(".gap"), found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement, style = getComputedStyle(element);
    if (!node.data.trim() || element.matches("title") || !element.checkVisibility()) continue;
    const drawn = element instanceof SVGElement, size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const grounds = [behind(element), ...(drawn ? [getComputedStyle(gap).fill] : [])];
    const contrast = Math.min(...grounds.map(one => ratio(drawn ? style.fill : style.color, one)));
    found.push({text: node.data.slice(0, 40), of: element.outerHTML.slice(0, 80), contrast, least: large ? 3 : 4.5});
  }
  const page = getComputedStyle(document.body).backgroundColor;
  for (const bar of document.querySelectorAll(".timeline rect:not(.gap), .bar rect"))
    found.push({text: "a bar", of: bar.outerHTML, contrast: ratio(getComputedStyle(bar).fill, page), least: 3});
  return {found, page: light(page)};
})()"""
SERIES = """(() => {
  const bars = [...document.querySelectorAll(".timeline rect:not(.gap)")], found = {};
  for (const bar of bars) {
    const {top, bottom} = bar.getBoundingClientRect(), one = found[bar.getAttribute("class")] ??= {top, bottom};
    one.top = Math.min(one.top, top), one.bottom = Math.max(one.bottom, bottom);
  }
  const labels = [...document.querySelectorAll(".timeline text")].map(one =>
    ({text: one.textContent, bottom: one.getBoundingClientRect().bottom}));
  const gap = getComputedStyle(document.querySelector(".gap"));
  return {rows: found, labels, gap: gap.strokeDasharray !== "none" && gap.stroke !== "none"};
})()"""
FOCUS = """(() => {
  const one = document.activeElement, style = getComputedStyle(one), box = one.getBoundingClientRect();
  const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  const all = [...document.querySelectorAll("a[href], summary, [tabindex]")];
  return {
    place: all.indexOf(one), all: all.length, open: one.parentElement.open,
    seen: outlined && box.bottom > 0 && box.top < innerHeight,
  };
})()"""


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


class Shown(NamedTuple):
    """The report in a browser: what a hostile caller is called in it, and what was asked of two servers."""

    browser: Browser
    named: str
    asked: list[str]
    trapped: list[str]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """A report with every level, a gap, a log that cannot be read, and names that are markup."""
    folder = tmp_path_factory.mktemp("report")
    with served({}) as (trap, trapped), Browser(folder / "profile") as browser:
        hostile = hostile_log(folder / "hostile.log")
        named = f'<img src="{trap}/img"><script>ran=1</script><style>@import "{trap}/css"</style>'
        lines = hostile.read_text().replace("javascript:alert(1)", json.dumps(named)[1:-1])
        ordinary = [entry(request={"id": str(number), "path": "kv/a"}) for number in range(50)]
        hostile.write_text(lines + "".join(ordinary) + entry(time="2026-11-21T09:30:00Z"))
        logs = [str(DEVICES), str(hostile), str(folder / "missing.log")]
        assert main(["report", "--level", "informational", *logs, "-o", str(folder / "report.html")]) == 2
        with served({"/report.html": (folder / "report.html").read_bytes()}) as (address, asked):
            browser.open(f"{address}/report.html")
            yield Shown(browser, named, asked, trapped)


@pytest.fixture
def browser(shown: Shown) -> Browser:
    """The browser with the report as it is at first: nothing has the focus, and only the first groups are open."""
    shown.browser.show(width=1100)
    shown.browser.call("Page.reload")
    shown.browser.wait("Page.loadEventFired")
    return shown.browser


@pytest.mark.parametrize("width", [1100, 420])
def test_the_page_fits_loads_nothing_and_runs_nothing(shown: Shown, browser: Browser, width: int) -> None:
    browser.show(width=width)
    browser.run(OPEN_ALL)
    page = browser.run(SEEN)
    assert page["over"] <= 0
    assert page["scrolling"] == [], "no table is wider than the page"
    assert page["styled"] == "grid"
    assert not page["ran"]
    assert not page["foreign"]
    assert shown.named[:40] in page["text"]
    assert set(shown.asked) <= {"/report.html", "/favicon.ico"}
    assert not shown.trapped


def test_all_of_it_is_printed_on_white(browser: Browser) -> None:
    """Whatever is folded on the screen, and in whichever colours it is shown there."""
    browser.show(width=A4_PIXELS, media="print", scheme="dark")
    assert browser.run(FOLDED) == 0
    assert browser.run(CUT) == []
    assert browser.run(CONTRASTS)["page"] == 1
    pages = browser.print_pages()
    browser.run(OPEN_ALL)
    assert browser.print_pages() == pages > 1
    assert pages <= MOST_PAGES, "the rules without a match take half a page, not eight"


@pytest.mark.parametrize("media", ["screen", "print"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_and_bars_stand_out(browser: Browser, scheme: str, media: str) -> None:
    """WCAG 2.2, level AA: 4.5 to 1 for text, 3 to 1 for large text and for what is drawn."""
    browser.show(width=1100, media=media, scheme=scheme)
    browser.run(OPEN_ALL)
    page = browser.run(CONTRASTS)
    assert (page["page"] < 0.1) == (scheme == "dark" and media == "screen")
    assert len(page["found"]) > 100
    assert [one for one in page["found"] if one["contrast"] < one["least"]] == []


def test_no_series_is_known_by_its_colour_alone(browser: Browser) -> None:
    """Each has a row of its own with its name above it; gaps have a dashed border."""
    timeline = browser.run(SERIES)
    rows = sorted(timeline["rows"].items(), key=lambda row: float(row[1]["top"]))
    assert len(rows) > 2
    assert timeline["gap"]
    above = 0.0
    for (kind, row), label in zip(rows, timeline["labels"], strict=True):
        assert label["text"].startswith("audit entries:" if kind == "volume" else f"{kind}:")
        assert above < label["bottom"] <= row["top"]
        above = row["bottom"]


def test_every_link_and_fold_is_reached_by_tab_in_order_and_visibly(browser: Browser) -> None:
    browser.run(OPEN_ALL)
    places: list[int] = []
    for _ in range(browser.run(FOCUS)["all"]):
        browser.press("Tab")
        focus = browser.run(FOCUS)
        assert focus["seen"]
        places.append(focus["place"])
    assert places == list(range(len(places)))
    assert len(places) > 20


def test_a_fold_is_opened_by_a_key(browser: Browser) -> None:
    browser.run("document.querySelector('summary').focus()")
    before = browser.run(FOCUS)["open"]
    browser.press("Enter")
    assert browser.run(FOCUS)["open"] != before
