"""Find the rules that an audit entry could match, without evaluating them.

The index looks up the anchors (`vaultwatch.rules.anchors`) of all rules in an entry's fields: a rule could match if all
fields that one of its alternatives names have one of its texts. A rule without anchors could match any entry. Only
these fields are decoded, by the *gate*, which makes reading fast (measured with 42 rules: 2.0 times the speed of
`orjson.loads`; decoding everything, 0.9 times).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, Literal, TypeVar

import msgspec

from vaultwatch.reading.budget import MAX_DEPTH, SMALL_BYTES, could_be_deep, exceeded
from vaultwatch.reading.records import split_tag
from vaultwatch.redaction import SALTED, holds_secret, shows_secret
from vaultwatch.rules.anchors import (
    Alternative,
    Masks,
    alternatives_of,
    audit_anchor,
    bits,
    masks,
    most_selective,
    needs_field,
)
from vaultwatch.rules.pack import Rule
from vaultwatch.rules.predicates import text_of, values

Rules = tuple[Rule, ...]
Key = TypeVar("Key", bound=str | bytes | None)

MAX_REMEMBERED = 30_000
MAX_REMEMBERED_LENGTH = 512
MAX_FIELD_BYTES = 64 * 1024
"""Larger headers or other fields are left to the rules themselves."""
_SEPARATOR = b"\n"  # no line contains it, so joined values can be split again
_EMPTY = msgspec.Raw()  # shared by all entries: a factory would be called for every absent field
_HEADERS = "request.headers"
_TEXTS = ("type", "request.id", "request.operation", "request.path", "auth.client_token")
_COMMON = ("request.path", "request.namespace.path", "auth.policies")
"""The fields that any pack asks for; others are decoded only for rules that have no anchors on these."""
_SHALLOW_BYTES = 2 * (MAX_DEPTH - 2)
"""No data of a request this short is nested too deeply."""
_SECRET_IN_PATH, _SECRET_IN_HEADERS = 1, 2
_ANY = -1


class _OverBudget(Exception):
    """A line that only the reader decodes, in part."""


# AttributeError: `auth: null`
_UNREADABLE = (_OverBudget, msgspec.DecodeError, UnicodeDecodeError, RecursionError, AttributeError)


class Passed(msgspec.Struct, frozen=True, gc=False):
    """A number of entries that no rule can match, and whose `request.id` is not among those waited for."""

    entries: int


class Candidate(msgspec.Struct, frozen=True):
    """An entry with the rules that it could match; none if it was only selected by its `request.id`."""

    line: bytes
    rules: Rules


class Unreadable(msgspec.Struct, frozen=True):
    """A line that the gate does not decode: an unusual entry, a server-log line, or one to reject."""

    line: bytes


Sifted = Passed | Candidate | Unreadable


class AuditIndex:
    """The index over a pack's audit rules, and the decoder of the fields that it needs.

    What is found is a mask of the rules' alternatives for each field; an entry's is their intersection. The masks of a
    path, of an operation and of the other fields are cached: these repeat in any real log.

    A rule about secrets in clear is a candidate if the gate sees a secret: in the path, in the headers, or a client
    token that is not hashed, as a device with `log_raw` logs all of them. Searching every line would take longer than
    decoding it (measured: 2 us, of 4), so a secret elsewhere is found only in entries that another rule matches
    (`of_secrets`).

    A line that could exceed its budget is for the reader to judge, and no rule about partial entries (`of_partial`) is
    a candidate for any other.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        """Index the audit rules among `rules`."""
        self.rules = tuple(rule for rule in rules if rule.service == "audit")
        self.of_secrets = tuple(r for r in self.rules if needs_field(r.compiled.condition, "secret_in_clear"))
        self.of_partial = tuple(r for r in self.rules if needs_field(r.compiled.condition, "partial"))
        # The first two are the secrets in the path and in the headers.
        found: list[tuple[Alternative, Rules]] = [({}, self.of_secrets), ({}, self.of_secrets)]
        found += [(one, (rule,)) for rule in self.rules for one in self._alternatives(rule)]
        alternatives = [one for one, _ in found]
        self._rules_of = [rules for _, rules in found]
        self._secrets = _SECRET_IN_PATH if self.of_secrets else 0
        self._prepare_masks(alternatives)
        self._prepare_gate()
        self._rules_by_mask: dict[int, Rules] = {}

    def _alternatives(self, rule: Rule) -> list[Alternative]:
        found = [_for_the_gate(one) for one in alternatives_of(rule.compiled.condition, audit_anchor)]
        left_to_others = rule in self.of_secrets or rule in self.of_partial
        return [one for one in found if one or not left_to_others]

    def _prepare_masks(self, alternatives: Sequence[Alternative]) -> None:
        by_field = masks(alternatives)
        self._path_masks = by_field.pop("request.path", Masks("request.path", alternatives))
        self._operation_masks = by_field.pop("request.operation", Masks("request.operation", alternatives))
        self._masks = by_field
        self._by_path: _Remembered[str | None] = _Remembered(self._look_up_path)
        self._by_operation: _Remembered[str | None] = _Remembered(self._look_up_operation)
        self._by_extra: _Remembered[bytes] = _Remembered(self._look_up_extra)

    def _prepare_gate(self) -> None:
        extra = sorted({_gate_field(field) for field in self._masks}) or ["request.namespace"]
        self._extra = (_HEADERS, *extra)
        self._by_value: dict[str, _Remembered[bytes]] = {
            name: _Remembered(partial(self._look_up_value, name)) for name in extra
        }
        self._by_value[_HEADERS] = _Remembered(self._look_up_headers)
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(
            _gate_struct((*_TEXTS, "request.data", *self._extra))
        ).decode
        without_auth: Any = self._decode(b'{"type":"request","request":{}}')
        self._no_auth = without_auth.auth
        self._extra_values = attrgetter(*self._extra)

    def sift(self, lines: Sequence[bytes], waiting: Collection[str], *, tagged: bool = False) -> Iterator[Sifted]:
        """Sort lines, in their order, into entries to skip, candidates and unreadable lines.

        Args:
            lines: Lines, with or without their newlines.
            waiting: Values of `request.id` whose entries are always candidates.
            tagged: Whether lines may begin with a tag.
        """
        decode = self._decode_tagged if tagged else self._decode
        mask_of, passed = self._mask, 0
        for line in lines:
            found: Candidate | Unreadable
            try:
                if len(line) > SMALL_BYTES and exceeded(line):
                    raise _OverBudget
                gate = decode(line)
                request = gate.request
                if len(request.data) > _SHALLOW_BYTES and could_be_deep(bytes(request.data)):
                    raise _OverBudget
                mask = mask_of(gate)
            except _UNREADABLE:
                found = Unreadable(line)
            else:
                if not mask and not (waiting and request.id in waiting):
                    passed += 1
                    continue
                found = Candidate(line, self._rules(mask))
            if passed:
                yield Passed(passed)
                passed = 0
            gate = request = None  # not held while the line is evaluated: a path can be as long as the line
            yield found
        if passed:
            yield Passed(passed)

    def reads(self, line: bytes) -> bool:
        """Return whether a line is an audit entry that the gate can decode."""
        try:
            self._decode_tagged(line)
        except _UNREADABLE:
            return False
        return True

    def candidates(self, entry: bytes) -> Rules:
        """Return the rules that one entry could match; all of them if the gate cannot decode it."""
        try:
            return self._rules(self._mask(self._decode(entry)))
        except _UNREADABLE:
            return self.rules

    def _mask(self, gate: Any) -> int:
        request, auth = gate.request, gate.auth
        if auth is None:
            auth = gate.auth = self._no_auth
        extra = _SEPARATOR.join(self._extra_values(gate))
        mask = self._by_path[request.path] & self._by_extra[extra] & self._by_operation[request.operation]
        if (token := auth.client_token) and not token.startswith(SALTED):
            mask |= self._secrets
        return mask

    def _decode_tagged(self, line: bytes) -> Any:
        return self._decode(split_tag(line)[1])

    def _rules(self, mask: int) -> Rules:
        found = self._rules_by_mask.get(mask)
        if found is None:
            if len(self._rules_by_mask) >= MAX_REMEMBERED:
                self._rules_by_mask.clear()
            found = tuple(dict.fromkeys(rule for bit in bits(mask) for rule in self._rules_of[bit]))
            self._rules_by_mask[mask] = found
        return found

    def _look_up_path(self, path: str | None) -> int:
        if not path:
            return self._path_masks.free & ~_SECRET_IN_PATH
        mask = self._path_masks.free | self._path_masks.of(path)
        return mask if self._secrets and shows_secret(path) else mask & ~_SECRET_IN_PATH

    def _look_up_operation(self, operation: str | None) -> int:
        return self._operation_masks.free | self._operation_masks.of(operation or "")

    def _look_up_extra(self, joined: bytes) -> int:
        if len(joined) > MAX_FIELD_BYTES:
            return _ANY
        mask = _ANY
        for name, raw in zip(self._extra, joined.split(_SEPARATOR), strict=True):
            mask &= self._by_value[name][raw]
        return mask

    def _look_up_headers(self, raw: bytes) -> int:
        try:
            is_clear = self._secrets and raw and holds_secret({"headers": msgspec.json.decode(raw)})
        except (msgspec.DecodeError, ValueError, RecursionError):  # the reader is more lenient than the gate
            is_clear = True
        return _ANY if is_clear else ~_SECRET_IN_HEADERS

    def _look_up_value(self, name: str, raw: bytes) -> int:
        try:
            asked = {name: msgspec.json.decode(raw) if raw else None}
        except (msgspec.DecodeError, ValueError, RecursionError):  # the reader is more lenient than the gate
            return _ANY
        mask = _ANY
        for field, known in self._masks.items():
            if _gate_field(field) == name:
                mask &= known.free | _any_text(known, _texts(asked, field))
        return mask


class _Remembered(dict[Key, int]):
    """A cache of masks by a key that clients choose, bounded in number and length of the keys."""

    def __init__(self, look_up: Callable[[Key], int]) -> None:
        super().__init__()
        self._look_up = look_up

    def __missing__(self, key: Key) -> int:
        found = self._look_up(key)
        if key is None or len(key) <= MAX_REMEMBERED_LENGTH:
            if len(self) >= MAX_REMEMBERED:
                self.clear()
            self[key] = found
        return found


def _for_the_gate(alternative: Alternative) -> Alternative:
    """Return what the index asks of an alternative: common fields, or a single other one if it has none of these."""
    kept = {field: alternative[field] for field in _COMMON if field in alternative}
    others = {field: anchors for field, anchors in alternative.items() if field != "request.operation"}
    if not kept and others:
        kept = dict(most_selective(others))
    if "request.operation" in alternative:
        kept["request.operation"] = alternative["request.operation"]
    return kept


def _any_text(known: Masks, texts: Iterable[str]) -> int:
    mask = 0
    for text in texts:
        mask |= known.of(text)
    return mask


def _texts(asked: dict[str, Any], field: str) -> Iterable[str]:
    gate_field = _gate_field(field)
    listed = values({"_": asked[gate_field]}, "_" + field[len(gate_field) :])
    return [text for item in listed if (text := text_of(item)) is not None]


def _gate_field(field: str) -> str:
    return ".".join(field.split(".")[:2])


def _gate_struct(fields: Iterable[str]) -> type[msgspec.Struct]:
    """Make a Struct type that decodes these dotted fields and skips all others; absent and null become empty."""
    tree: dict[str, Any] = {}
    for field in fields:
        *above, leaf = field.split(".")
        node = tree
        for part in above:
            node = node.setdefault(part, {})
        node[leaf] = field
    return _struct("gate", tree)


def _struct(name: str, tree: dict[str, Any]) -> type[msgspec.Struct]:
    members: list[Any] = []
    for part, below in tree.items():
        if isinstance(below, dict):
            inner = _struct(f"{name}_{part}", below)
            wanted = (inner,) if part == "request" else (inner | None, msgspec.field(default_factory=inner))
            members.append((part, *wanted))
        elif below == "type":  # other types that end in the same words are read in full
            members.append((part, Literal["request", "response", "kmip-request", "kmip-response"]))
        elif below in _TEXTS:
            members.append((part, str | None, None))
        else:
            members.append((part, msgspec.Raw, _EMPTY))
    return msgspec.defstruct(name, members, gc=False)
