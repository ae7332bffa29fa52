"""Find the rules that an audit entry could match, without evaluating them.

The index looks up the anchors (`vaultwatch.rules.anchors`) of all rules in an entry's fields: a rule could match if all
fields that one of its alternatives names have one of its texts. A rule without anchors could match any entry. Only
these fields are decoded, by the *gate*, which makes reading fast (measured with 42 rules: 2.0 times the speed of
`orjson.loads`; decoding everything, 0.9 times).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cached_property, partial
from itertools import filterfalse
from typing import Any, TypeAlias

import msgspec

from vaultwatch.reading.budget import SMALL_BYTES, exceeded
from vaultwatch.reading.depths import is_too_deep
from vaultwatch.reading.records import split_tag
from vaultwatch.reading.view import one_slash
from vaultwatch.redaction import PARTS_OF_SECRETS, SALTED, holds_secret, shows_secret
from vaultwatch.rules.anchors import (
    Alternative,
    Anchor,
    Masks,
    alternatives_of,
    audit_anchors,
    bits,
    masks,
    most_selective,
    needs_field,
)
from vaultwatch.rules.gate import (
    ERROR,
    LOOKED_UP,
    NOTHING,
    POLICIES,
    can_look_up,
    gate_decoder,
    gate_texts,
    without_nulls,
)
from vaultwatch.rules.json_masks import ANY, MAX_FIELD_BYTES, JsonMasks, of_text
from vaultwatch.rules.narrowing import Narrowing
from vaultwatch.rules.pack import Rule
from vaultwatch.rules.remembered import Remembered

Rules = tuple[Rule, ...]
Before = Callable[[bytes], bytes]
"""Returns the entry in a line."""
Settle: TypeAlias = Callable[[bytes, bytes, Any, "Rules", int], bool]
"""Returns whether nothing remains to do for an entry that rules could match: it is given the line, the entry in it,
what the gate decoded, the rules, and how many passed entries are before it."""
Note: TypeAlias = Callable[[str | None], object]

_WITH_ANY = ("type", "request.operation", "request.mount_type")
"""The fields that the gate looks up beside any other, because that costs little."""
_COMMON = ("request.path", "request.namespace.path", POLICIES)
"""The fields that any pack asks for. Rules that have no anchors on these are asked for by the error of an entry, which
few have, or else by another field, which is then decoded and looked up in every entry."""
_SECRET_IN_PATH, _SECRET_IN_HEADERS = 1, 2


_Kind: TypeAlias = tuple[str | None, ...]
"""The texts of an entry that are looked up, apart from its path: clients repeat their calls."""


class ForTheReader(Exception):
    """A line is over its budget, or has a member twice: the gate does not decode it."""


_OPENS_OBJECT = (b"{", b" ", b"\t")
"""What an entry begins with; nearly all other lines are of the server log, and need not be searched for depth."""
_UNREADABLE = (ForTheReader, msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Passed(msgspec.Struct, frozen=True, gc=False):
    """A number of entries that no rule can match, or that are settled, and whose `request.id` is not waited for."""

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

    What is found is a mask of the rules' alternatives for each field; an entry's is their intersection. The masks are
    cached by the values of the fields, which repeat in any real log. An entry whose mask is not empty is decoded a
    second time, into the other fields that its rules name (`vaultwatch.rules.narrowing`).

    A rule about secrets in clear is a candidate if the gate sees a secret: in the path, in the headers, or a client
    token that is not hashed, as a device with `log_raw` logs all of them. Searching every line would take longer than
    decoding it (measured: 2 us, of 4), so a secret elsewhere is found only in entries that another rule matches
    (`of_secrets`).

    A line that could exceed its budget is for the reader to judge, and no rule about partial entries (`of_partial`) is
    a candidate for any other. The same goes for objects that stand twice in an entry, and rules about them: the gate
    counts those that it decodes (measured: 0.1 us). Other members that stand twice show in entries that are read in
    full. `texts` are the fields that the gate decodes as texts.
    """

    def __init__(self, rules: Iterable[Rule], also: Collection[str] = ()) -> None:
        """Index the audit rules among `rules`.

        Args:
            rules: The rules.
            also: Texts that the gate decodes besides, because most candidates are read from them.
        """
        self.rules = tuple(rule for rule in rules if rule.service == "audit")
        self.of_secrets, self.of_partial, self._of_repeated = (
            tuple(one for one in self.rules if name in one.fields and needs_field(one.compiled.condition, name))
            for name in ("secret_in_clear", "partial", "repeated_members")
        )
        # The first two are the secrets in the path and in the headers; no path has the second.
        parts = tuple(Anchor("request.path", "contains", part) for part in PARTS_OF_SECRETS if self.of_secrets)
        found: list[tuple[Alternative, Rules]] = [({"request.path": some}, self.of_secrets) for some in (parts, ())]
        found += [(one, (rule,)) for rule in self.rules for one in self._alternatives(rule)]
        self._rules_of = [rules for _, rules in found]
        self._secrets = _SECRET_IN_PATH if self.of_secrets else 0
        self._prepare_masks([_for_the_gate(one) for one, _ in found])
        self.texts = gate_texts(self._others.fields, also)
        self._narrowing = Narrowing([_left_by_the_gate(one) for one, _ in found], self.texts)
        self._objects: list[object] = []
        self._decode = gate_decoder(self._others.fields, self.texts, self._objects)
        self._rules_by_mask: Remembered[int, Rules] = Remembered(self._look_up_rules, lambda _: 0)

    def _alternatives(self, rule: Rule) -> list[Alternative]:
        if rule in self.of_partial or rule in self._of_repeated:
            return []
        found = alternatives_of(rule.compiled.condition, audit_anchors)
        return [one for one in found if rule not in self.of_secrets or _for_the_gate(_without(("type",), one))]

    def _prepare_masks(self, alternatives: Sequence[Alternative]) -> None:
        self._path, *of_texts = (Masks(name, alternatives) for name in LOOKED_UP)
        self._by_text = [Remembered(partial(of_text, known), _length) for known in of_texts]
        self._by_path: Remembered[str | None, int] = Remembered(self._look_up_path, _length)
        self._by_policies = JsonMasks({POLICIES: Masks(POLICIES, alternatives)}).by_value[POLICIES]
        self._by_kind: Remembered[_Kind, int] = Remembered(self._look_up_kind, _length_of_kind)
        self._by_headers: Remembered[bytes, int] = Remembered(self._look_up_headers, len)
        self._others = JsonMasks(masks([_without((*LOOKED_UP, POLICIES, ERROR), one) for one in alternatives]))
        self._of_errors = sum(1 << number for number, one in enumerate(alternatives) if ERROR in one)
        self._by_error: Remembered[str, int] = Remembered(partial(of_text, Masks(ERROR, alternatives)), len)

    def sift(
        self,
        lines: Sequence[bytes],
        waiting: Collection[str],
        before: Before | None = None,
        settle: Settle | None = None,
        note: Note | None = None,
    ) -> Iterator[Sifted]:
        """Sort lines, in their order, into entries to skip, candidates and unreadable lines.

        Args:
            lines: Lines, with or without their newlines.
            waiting: Values of `request.id` whose entries are always candidates.
            before: Removes what is before the entry in a line, such as a tag. It may raise `ForTheReader`.
            settle: Tried on each entry that rules could match, unless a request waits that it may answer.
            note: Called with each `request.id` that is looked up in `waiting`.
        """
        return self._sift(lines, waiting, before, settle, note)

    def reads(self, line: bytes) -> bool:
        """Return whether a line is an audit entry that the gate can decode."""
        try:
            self._decode(split_tag(line)[1])
        except _UNREADABLE:
            return False
        finally:
            self._objects.clear()
        return True

    def candidates(self, entry: bytes) -> Rules:
        """Return the rules that an entry within its budget could match; all of them if the gate cannot decode it."""
        (sifted,) = self._sift([entry], (), None, None, None, judged=True)
        if isinstance(sifted, Unreadable):
            return self.rules
        return sifted.rules if isinstance(sifted, Candidate) else ()

    def _sift(  # noqa: C901  all that is done for every entry of a log is here: one call takes 2 % of its time
        self,
        lines: Sequence[bytes],
        waiting: Collection[str],
        before: Before | None,
        settle: Settle | None,
        note: Note | None,
        *,
        judged: bool = False,
    ) -> Iterator[Sifted]:
        """Do what `sift` does; entries that are judged are within their budget, and may have an object that is null."""
        decode = self._decode_without_nulls if judged else self._decode
        by_path, by_kind, by_policies, narrowed = self._by_path, self._by_kind, self._by_policies, self._narrowing.of
        secrets, others, passed = self._secrets, self._others if self._others.fields else None, 0
        rules_by_mask, objects, (no_auth, no_namespace) = self._rules_by_mask, self._objects, self._absent
        for line in lines:
            found: Iterable[Sifted]
            try:
                if len(line) > SMALL_BYTES and exceeded(line):
                    raise ForTheReader
                text = before(line) if before else line
                if not text.startswith(_OPENS_OBJECT) or (not judged and is_too_deep(text)):
                    raise ForTheReader
                gate = decode(text)
                request, auth = gate.request, gate.auth
                texts: Any = request.operation, request.namespace.path, request.mount_type, gate.type
                mask = by_path[request.path] & by_kind[texts] & by_policies[bytes(auth.policies)]
                if len(objects) != 1 + (auth is not no_auth) + (request.namespace is not no_namespace):
                    raise ForTheReader
                objects.clear()
                if request.headers is not NOTHING:
                    mask |= self._by_headers[bytes(request.headers)]
                if gate.error:
                    mask |= self._by_error[gate.error] & self._of_errors & by_kind[texts]
                if others:
                    mask &= others.of(gate)
                if (token := auth.client_token) and not token.startswith(SALTED):
                    mask |= secrets
                if mask:
                    mask = narrowed(mask, text, gate)
                if note:
                    note(request.id)
                is_awaited = request.id in waiting
                if not mask and not is_awaited:
                    passed += 1
                    continue
                rules = rules_by_mask[mask]
                if settle and mask and not is_awaited and (request.id or not (waiting or note)):  # noqa: SIM102
                    if settle(line, text, gate, rules, passed):
                        passed += 1
                        continue
                found = (Candidate(line, rules),)
            except _UNREADABLE:
                objects.clear()
                found = (Unreadable(line),)
            except AttributeError:  # `auth` or another object is null
                if judged:
                    raise
                found = self._sift([line], waiting, before, settle, note, judged=True)
            if passed:
                yield Passed(passed)
                passed = 0
            text, gate, request, auth, texts = b"", None, None, None, None
            # Nothing of the line is held meanwhile: a path can be as long as its line.
            yield from found
        if passed:
            yield Passed(passed)

    def _decode_without_nulls(self, text: bytes) -> Any:
        self._objects.clear()
        gate = self._decode(text)
        decoded = self._objects[:]
        gate = without_nulls(gate)  # decodes, too
        self._objects[:] = decoded
        return gate

    @cached_property
    def _absent(self) -> tuple[object, object]:
        """The objects in the place of an `auth` and a namespace that are absent."""
        empty = self._decode(b'{"type":"request","request":{}}')
        self._objects.clear()
        return empty.auth, empty.request.namespace

    def _look_up_rules(self, mask: int) -> Rules:
        return tuple(dict.fromkeys(rule for bit in bits(mask) for rule in self._rules_of[bit]))

    def _look_up_path(self, path: str | None) -> int:
        mask = of_text(self._path, path and one_slash(path)) & ~self._of_errors
        if not path or not (mask & _SECRET_IN_PATH or len(path) > MAX_FIELD_BYTES):
            return mask
        return mask | self._secrets if shows_secret(path) else mask & ~_SECRET_IN_PATH

    def _look_up_kind(self, kind: _Kind) -> int:
        mask = ANY
        for known, text in zip(self._by_text, kind, strict=True):
            mask &= known[text]
        return mask

    def _look_up_headers(self, raw: bytes) -> int:
        """Return the secrets in headers; those that are too long to search, or that only the reader reads, have one."""
        try:
            too_long = len(raw) > MAX_FIELD_BYTES
            is_clear = self._secrets and (too_long or holds_secret({"headers": msgspec.json.decode(raw)}))
        except (msgspec.DecodeError, ValueError, RecursionError):
            is_clear = True
        return _SECRET_IN_HEADERS if is_clear else 0


def _for_the_gate(alternative: Alternative) -> Alternative:
    """Return what the index asks of an alternative: common fields, or a single other one if it has none of these."""
    kept = {field: alternative[field] for field in _COMMON if field in alternative}
    others = {field: anchors for field, anchors in alternative.items() if field not in _WITH_ANY and can_look_up(field)}
    if not kept and others:
        kept = {ERROR: others[ERROR]} if ERROR in others else dict(most_selective(others))
    return kept | {field: alternative[field] for field in _WITH_ANY if field in alternative}


def _left_by_the_gate(alternative: Alternative) -> Alternative:
    """Return what the index asks of an alternative besides."""
    return _without((*_for_the_gate(alternative), *filterfalse(can_look_up, alternative)), alternative)


def _without(fields: Collection[str], alternative: Alternative) -> Alternative:
    return {field: anchors for field, anchors in alternative.items() if field not in fields}


def _length(text: str | None) -> int:
    return len(text or "")


def _length_of_kind(kind: _Kind) -> int:
    return sum(map(_length, kind))
