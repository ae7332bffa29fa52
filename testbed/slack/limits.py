"""The limits of Slack's messages, from the references of Block Kit, of webhooks and of `chat.postMessage`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

MAX_BLOCKS = 50
MAX_TEXT = 40_000
MAX_SECTION_TEXT = 3_000
MAX_FIELD_TEXT = 2_000
MAX_HEADER_TEXT = 150
MAX_ELEMENTS = 10
# Not documented; 11,341 characters were refused (slackapi/bolt-js#2867).
MAX_CHARACTERS_IN_BLOCKS = 12_000


def fault(payload: Any) -> str:
    """Return the error with which Slack refuses a payload; "" if it accepts it.

    It is stricter than Slack in one point: it requires a fallback text beside blocks, which Slack only recommends.
    """
    if not isinstance(payload, dict):
        return "invalid_payload"
    text = payload.get("text")
    if not isinstance(text, str) or not text.strip():
        return "no_text"
    if len(text) > MAX_TEXT:
        return "msg_too_long"
    return _fault_of_blocks(payload.get("blocks", []))


def texts(value: Any) -> Iterator[str]:
    """Yield every text in blocks."""
    if isinstance(value, dict):
        yield from (item for key, item in value.items() if key == "text" and isinstance(item, str))
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from texts(item)


def _fault_of_blocks(blocks: Any) -> str:
    if not isinstance(blocks, list):
        return "invalid_blocks_format"
    if len(blocks) > MAX_BLOCKS or not all(isinstance(block, dict) and _block_is_valid(block) for block in blocks):
        return "invalid_blocks"
    return "" if sum(map(len, texts(blocks))) <= MAX_CHARACTERS_IN_BLOCKS else "msg_blocks_too_long"


def _block_is_valid(block: dict[str, Any]) -> bool:
    kind = block.get("type")
    if kind == "divider":
        return True
    if kind == "header":
        return _text_is_valid(block.get("text"), MAX_HEADER_TEXT, ("plain_text",))
    if kind == "section":
        return _section_is_valid(block)
    if kind == "context":
        return _all(block.get("elements"), lambda element: _text_is_valid(element, MAX_SECTION_TEXT), MAX_ELEMENTS)
    return kind == "rich_text" and _all(block.get("elements"), _rich_text_is_valid)


def _section_is_valid(block: dict[str, Any]) -> bool:
    fields = block.get("fields", [])
    text_is_valid = _text_is_valid(block.get("text"), MAX_SECTION_TEXT) if "text" in block else bool(fields)
    fields_are_valid = len(fields) <= MAX_ELEMENTS and all(_text_is_valid(field, MAX_FIELD_TEXT) for field in fields)
    return text_is_valid and fields_are_valid


def _rich_text_is_valid(element: Any) -> bool:
    kinds = ("rich_text_section", "rich_text_preformatted", "rich_text_quote")
    return isinstance(element, dict) and element.get("type") in kinds and _all(element.get("elements"), _run_is_valid)


def _run_is_valid(run: Any) -> bool:
    return _text_is_valid(run, sys.maxsize, ("text",))


def _text_is_valid(text: Any, limit: int, kinds: tuple[str, ...] = ("plain_text", "mrkdwn")) -> bool:
    if not isinstance(text, dict) or text.get("type") not in kinds or not isinstance(text.get("text"), str):
        return False
    return 1 <= len(text["text"]) <= limit


def _all(elements: Any, is_valid: Callable[[Any], bool], most: int = sys.maxsize) -> bool:
    return isinstance(elements, list) and 1 <= len(elements) <= most and all(map(is_valid, elements))
