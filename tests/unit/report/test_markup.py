"""HTML is escaped by construction."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.report.parsed import Page
from vaultwatch.printable import one_line
from vaultwatch.report.markup import tag, text


@given(st.text(max_size=100))
def test_any_text_is_one_text_of_the_page(value: str) -> None:
    page = Page(tag("p", value, title=value))
    assert page.elements == [("p", {"title": one_line(value)})]
    assert "".join(page.texts) == one_line(value)


@given(st.text(max_size=2_000))
def test_a_text_is_cut(value: str) -> None:
    assert len("".join(Page(text(value)).texts)) <= 600


def test_a_number_gets_commas_and_nothing_is_left_out() -> None:
    assert tag("td", 12345, None, class_=None) == "<td>12,345</td>"
