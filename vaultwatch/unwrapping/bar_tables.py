"""The lines of a log in a table that is drawn with bars, as psql, mysql, sqlite and DuckDB print it, or in Markdown.

    ┌───────┬──────────────────────────────────┐         id |              msg
    │  id   │               msg                │        ----+----------------------------
    ├───────┼──────────────────────────────────┤          1 | 2026-... [ERROR] core: x  +
    │     1 │ 2026-11-21T07:29:41Z [ERROR] ... │            |   error=                  +
    │       │   error=                         │            |   | 1 error occurred:

The rule below the heading says where the bars are, so that a cell can have bars itself.
"""

from __future__ import annotations

import re

from vaultwatch.unwrapping.envelopes import Envelopes, is_word

_MAY_BE_RULE = re.compile(rb"\s{0,8}(?:[|+:\-=\s]|\xe2[\x94\x95][\x80-\xbf]){3,}")
_DASHES = "-=:─═━ \t"
_HAS_DASHES = re.compile("-{2}|={2}|─{2}|═{2}|━{2}|:-|-:|[|+] ?- ?[|+]")
_BARS = frozenset("|│┃║")
_GOES_ON = "+"
"""What psql writes behind a line of a cell that has further ones, where others have a blank."""
_BETWEEN = re.compile(r"(?<!\\)\|")


class BarTable:
    """Reads the rows of the tables of one log.

    Attributes:
        bars: Where the rule that was read last has bars; none if no rows may follow.
    """

    def __init__(self, envelopes: Envelopes) -> None:
        """Know no table.

        Args:
            envelopes: Remembers the columns of this log.
        """
        self._envelopes = envelopes
        self.bars: list[int] = []
        self._width = 0
        self._goes_on = False  # a cell, whose further lines mysql prints as they are

    def lines_in(self, line: bytes) -> list[bytes] | None:
        """Return the lines of the log in a line of a table; none if it only surrounds some; None if it is no such line.

        Args:
            line: The line without its end.
        """
        if _MAY_BE_RULE.fullmatch(line) and self._is_rule(text := line.decode("utf-8", "replace").rstrip()):
            self.bars = [at for at, sign in enumerate(text) if sign not in _DASHES]
            self._width, self._goes_on = len(text), False
            return []
        return self._in_row(line) if self.bars else None

    def _is_rule(self, text: str) -> bool:
        return _HAS_DASHES.search(text) is not None and bool(text.strip(_DASHES))

    def _in_row(self, line: bytes) -> list[bytes] | None:
        text = line.decode("utf-8", "replace").rstrip()
        row = self._cells(text) or self._cells_between_bars(text)
        if not row:
            return self._further(text)
        if found := self._envelopes.texts_in_rows([row]):
            return found
        return [] if all(is_word(cell.strip().encode()) for cell in row if cell) else None

    def _cells(self, text: str) -> list[str]:
        """Return the cells between the bars of the rule; none if a bar is not where the rule has one."""
        bars, is_framed = self.bars, self.bars[0] == 0 and self.bars[-1] == self._width - 1
        if any(text[at : at + 1] not in _BARS for at in (bars[:-1] if is_framed else bars)):
            return []
        if not is_framed and len(text) == self._width:
            text = text.removesuffix(_GOES_ON)
        starts, ends = (bars[:-1], bars[1:]) if is_framed else ([-1, *bars], [*bars, len(text)])
        if is_framed and text[-1] not in _BARS:
            self._goes_on, ends = True, [*bars[1:-1], len(text)]
        elif is_framed and text[bars[-1] :] not in _BARS:
            return []
        row = [text[start + 1 : end] for start, end in zip(starts, ends, strict=True)]
        return [_text_of(cell.removesuffix(_GOES_ON)) for cell in row[:-1]] + [_text_of(row[-1])]

    def _cells_between_bars(self, text: str) -> list[str]:
        """Return the cells of a row of Markdown, whose bars are anywhere; none if an object has some."""
        if not text.lstrip().startswith("|"):
            return []
        found = [_text_of(cell).replace("\\|", "|") for cell in _BETWEEN.split(text)[1:-1]]
        return found if len(found) == len(self.bars) - 1 or "{" not in text else []

    def _further(self, text: str) -> list[bytes] | None:
        """Return a further line of the last cell of a row; None if the table has ended."""
        if not self._goes_on:
            self.bars = self.bars if text.lstrip()[:1] in _BARS else []
            return None
        if text[-1:] in _BARS:
            self._goes_on, text = False, text[:-1].rstrip()
        return [text.encode("utf-8", "replace")]


def _text_of(cell: str) -> str:
    return cell.removeprefix(" ").rstrip(" ")
