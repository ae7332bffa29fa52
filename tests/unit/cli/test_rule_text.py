"""A compiled condition, written so that a person can read it."""

from __future__ import annotations

import textwrap

import pytest

from tests.unit.rules.sigma import compiled
from vaultwatch.cli.rule_text import readable


@pytest.mark.parametrize(
    "detection",
    [
        "request.path: sys/seal",
        "request.path|startswith: sys/\nrequest.operation: update",
        "request.path|endswith: [a, b]\nrequest.path|contains: c",
        "request.path|contains|cased: aB\nrequest.path|re: ^a.b$\ntime|exists: true",
        "request.path|re: (?i)a",
        r"request.path: ['a\*b', 'a*b\?c*', '*', 'a\\b']",
        "request.remote_address|cidr: [10.0.0.0/8, '2001:db8::/32']",
        "request.remote_port|gte: 5\nauth.num_uses: 1.5\nauth.policy_results.allowed: false",
        "auth.num_uses|lt: 3\ntime|hour: 7\ntime|week|gt: 5",
        "request.path|fieldref: request.id\nauth.display_name|fieldref|startswith: request.id",
        'request.path: "a: \\t\\u202e#"',
    ],
)
def test_a_simple_one_is_a_selection_that_compiles_to_the_same_condition(detection: str) -> None:
    condition = compiled(f"s:\n{textwrap.indent(detection, '  ')}\ncondition: s")
    text = readable(condition)
    assert compiled(f"s:\n{textwrap.indent(text, '  ')}\ncondition: s") == condition
    assert text.isascii()


@pytest.mark.parametrize(
    ("detection", "text"),
    [
        (
            """
            one: {request.path: a, request.operation: [read, list]}
            two: [{request.path|startswith: b}, {request.path|startswith: c}, {request.id: d}]
            three: {auth.entity_id|exists: true}
            condition: (one or two) and not three
            """,
            """
            all of:
              - any of:
                  - request.path: a
                    request.operation:
                      - read
                      - list
                  - request.path|startswith:
                      - b
                      - c
                  - request.id: d
              - not:
                  auth.entity_id|exists: true
            """,
        ),
        (
            "s: {request.path|contains|all: [a, b]}\ncondition: s",
            "all of:\n  - request.path|contains: a\n  - request.path|contains: b",
        ),
        ("s: [seal, 'se*l']\ncondition: s", "any of:\n  - (any field)|contains: seal\n  - (any field): '*se*l*'"),
        ("s: {request.path|re: a, request.id|expand: '%none%'}\ncondition: s",
         "all of:\n  - request.path|re: a\n  - never"),
        ("s: {request.path|expand: '%none%'}\ncondition: s", "never"),
    ],
)  # fmt: skip
def test_others_are_shown_as_a_tree(detection: str, text: str) -> None:
    condition = compiled(textwrap.dedent(detection), placeholders={"none": []})
    assert readable(condition).strip() == textwrap.dedent(text).strip()


def test_the_deepest_that_compiles_is_shown_too() -> None:
    nested = "not (not (" * 12 + "s" + "))" * 12
    assert readable(compiled(f"s: {{request.path: a}}\ncondition: {nested}")).count("not:") == 24
