"""One language: words that have a better one in the field do not appear where people read."""

import re
from pathlib import Path

import pytest
import re2

ROOT = Path(__file__).parents[2]
READ_BY_PEOPLE = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "Makefile", "app.py", "cdk.json")
FOLDERS = (
    "assets",
    "bench",
    "cost",
    "demo",
    "docs",
    "lambdas",
    "rules",
    "stacks",
    "testbed",
    "tests",
    "tools",
    "vaultwatch",
)
RECORDED = ("rules/fixtures/", "tests/data/", "bench/results.json", "bench/rules.py", "bench/world.py", "requirements")

# Our words are in CONTRIBUTING.md, "Words".
REPLACED = {
    "notify, notification": r"tells?|told|telling|tellers?",
    "suppression window": r"quiet periods?",
    "check, evaluate": r"(hold|holds|held|holding)( \w+){0,4} against",
    "unauthenticated client": r"somebody without a token",
    "no response logged": r"no answer was seen",
    "succeeded": r"it succeeded",
    "unavailable": r"(is|are|was|goes|stays) away",
    "the store, the decision, the sent notification, the metrics": r"ledgers?|receipts?(?!_handle)|the books|news",
    "unreadable frame, encoded frame": r"poison|parcels?",
    "props": r"surroundings",
    "without end, until it is stopped": r"for ever",
    "replace, represent": r"stands? in for",
    "be, be in front of": r"what stands|stands? (at|before|in front)|stood (at|before|in front)",
    "configure, install": r"laid down",
    "NAT, route": r"way out",
    "again": r"anew",
    "skip": r"pass(es|ed)? over",
    "unexpected": r"nobody foresaw|unforeseen",
    "without effect": r"in vain",
}
# Also parts of names, as in `is_told`.
_WORDS = re.compile(
    "|".join(
        rf"(?P<w{n}>(?<![A-Za-z])(?:{words.replace(' ', '[ _]')})(?![A-Za-z]))"
        for n, words in enumerate(REPLACED.values())
    ),
    re.IGNORECASE,
)
# The same without what is around a word, in linear time: most files have none.
_ANYWHERE = re2.compile(re.sub(r"\(\?<?[!=][^)]*\)", "", f"(?i){'|'.join(REPLACED.values())}").replace(" ", "[ _]"))


def texts() -> list[Path]:
    found = [ROOT / name for name in READ_BY_PEOPLE]
    for folder in FOLDERS:
        found += [path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    skipped = tuple(str(ROOT / name) for name in RECORDED)
    return [path for path in found if path.exists() and not str(path).startswith(skipped) and path != Path(__file__)]


@pytest.mark.parametrize("path", texts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_it_uses_the_words_of_the_field(path: Path) -> None:
    lines = [str(path.relative_to(ROOT)), *path.read_text("utf-8", "replace").splitlines()]
    lines = lines if _ANYWHERE.search("\n".join(lines)) else []
    instead = list(REPLACED)
    found = [
        f"line {number}: {match[0]!r}: say {instead[int(str(match.lastgroup)[1:])]}"
        for number, line in enumerate(lines)
        for match in _WORDS.finditer(line)
    ]
    assert found == []


@pytest.mark.parametrize("text", ["it was told", "def test_it_is_told_once", "NEWS_COUNT", "is_news", "the_books"])
def test_a_replaced_word_is_found_in_sentences_and_in_names(text: str) -> None:
    assert _WORDS.search(text)


@pytest.mark.parametrize("text", ["newspaper", "receipt_handle", "toldo", "it stands for a list"])
def test_other_words_are_not_found(text: str) -> None:
    assert not _WORDS.search(text)
