"""The types that decode some fields of an audit entry and skip all others.

The *gate* is the one that the index asks for every entry. Texts that nearly every pack asks for are decoded as texts,
so that they can be looked up as they are; an entry where they are anything else is not decoded. Other fields keep their
JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Literal, get_args

import msgspec

HEADERS, POLICIES, ERROR = "request.headers", "auth.policies", "error"
NOTHING = msgspec.Raw()
"""The value of a field that is absent and kept as JSON. All entries share it: a factory would be called for each."""
_TYPES: dict[str, Any] = {
    # Entries of other types that end in the same words are read in full.
    "type": Literal["request", "response", "kmip-request", "kmip-response"],
    "request.id": str | None,
    "request.operation": str | None,
    "request.path": str | None,
    "request.mount_type": str | None,
    "request.namespace.path": str | None,
    "auth.client_token": str | None,
    ERROR: str | None,
}
_COUNTED = ("entry_request", "entry_request_namespace", "entry_auth")
LOOKED_UP = ("request.path", "request.operation", "request.namespace.path", "request.mount_type", "type")
"""The texts among them that rules name."""


def gate_field(field: str) -> str:
    """Return the field that the gate decodes for a field that a rule names: itself, or one that it is below.

    Args:
        field: A dotted path.
    """
    return ".".join(field.split(".")[: 3 if field.startswith("request.namespace.") else 2])


def can_look_up(field: str) -> bool:
    """Return whether the gate can decode a field: what is below a text never is."""
    return field in (*LOOKED_UP, ERROR) or gate_field(field) not in _TYPES


def gate_texts(others: Collection[str], also: Iterable[str]) -> frozenset[str]:
    """Return the fields that the gate decodes as texts.

    Args:
        others: The fields that it decodes as JSON, besides its own.
        also: Texts that it is to decode as well; it does not if it has them as JSON, or what they are in.
    """
    as_json = [f"{field}." for field in (*others, HEADERS, POLICIES)]
    return frozenset(_TYPES).union(field for field in also if not f"{field}.".startswith(tuple(as_json)))


def gate_decoder(others: Iterable[str], texts: Iterable[str], objects: list[object]) -> Callable[[bytes], Any]:
    """Return a function that decodes an entry: the texts, and the headers, policies and other fields as JSON.

    Args:
        others: Dotted paths, as `gate_field` returns them.
        texts: Those of further texts.
        objects: Gets each of `auth`, `request` and `request.namespace` that is decoded, so that one that an entry has
            twice shows: of two members of a name, the decoder keeps the last.
    """
    types = dict.fromkeys(texts, str | None) | _TYPES
    return decoder_of((*types, HEADERS, POLICIES, *others), types, objects.append)


def decoder_of(
    fields: Iterable[str], types: Mapping[str, Any], on_object: Callable[[object], None] | None = None
) -> Callable[[bytes], Any]:
    """Return a function that decodes these fields of an entry: each as its type, or as JSON if it has none.

    Args:
        fields: Dotted paths, of which none is below another.
        types: The types of some of them. A field whose type accepts None may be absent.
        on_object: Called with each of the objects that the gate always decodes.
    """
    tree: dict[str, Any] = {}
    for field in fields:
        *above, leaf = field.split(".")
        node = tree
        for part in above:
            node = node.setdefault(part, {})
        node[leaf] = _member(types.get(field))
    return msgspec.json.Decoder(_struct("entry", tree, on_object, frozen=False)).decode


def without_nulls(gate: Any) -> Any:
    """Return a decoded entry with what it has as null, such as `"auth": null`, as if it were absent."""
    empty = msgspec.json.decode(b'{"type":"request","request":{}}', type=type(gate))
    for given, default in ((gate, empty), (gate.request, empty.request)):
        for name in given.__struct_fields__:
            if getattr(given, name) is None:
                setattr(given, name, getattr(default, name))
    return gate


def _member(kind: Any) -> tuple[Any, ...]:
    """Return the type of a field and its value if it is absent; one that cannot be None must be there."""
    if kind is None:
        return msgspec.Raw, NOTHING
    return (kind, None) if type(None) in get_args(kind) else (kind,)


def _struct(
    name: str, tree: Mapping[str, Any], on_object: Callable[[object], None] | None, *, frozen: bool = True
) -> type[msgspec.Struct]:
    members: list[Any] = []
    for part, below in tree.items():
        if part == "request":
            members.append((part, _struct(f"{name}_{part}", below, on_object, frozen=False)))
        elif isinstance(below, dict):
            inner = _struct(f"{name}_{part}", below, on_object)
            members.append((part, inner | None, inner()))  # shared by all entries, which frozen ones can be
        else:
            members.append((part, *below))
    after = {"__post_init__": on_object} if on_object and name in _COUNTED else None
    return msgspec.defstruct(name, members, namespace=after, gc=False, frozen=frozen, kw_only=True)
