"""What somebody has appended to each line of a log is no part of its messages, where a line shows that."""

from __future__ import annotations

import pytest

from tests.unit.unwrapping.test_unwrapper import A, Counted, J, counted
from vaultwatch.unwrapping.endings import ending_of

SEALED = "2026-11-21T07:29:59.352Z [INFO]  core: vault is sealed"
STOPPED = "2026-11-21T07:29:59.352Z [INFO]  core: stopping cluster listeners"
PAIR = "2026-11-21T07:29:59.353Z [INFO]  core.listener: starting: listener_address=127.0.0.1:8201"
QUOTED = '2026-11-21T07:29:59.354Z [ERROR] core: unlocking failed: x=1 error="cannot find peer"'
VALUE = ("2026-11-21T07:29:59.354Z [ERROR] core: failed:", "  error=", "  | permission denied")


def ending(lines: tuple[str, ...], behind: str) -> str:
    return ending_of("".join(f"{line}{behind}\n" for line in lines).encode()).decode()


@pytest.mark.parametrize(
    "behind", [" [host=vault-1]", " | vault-0", "\tvault-0", ' {"pod":"vault-0"}', ' "a b"', " pod: a=1"]
)
@pytest.mark.parametrize("shows", [PAIR, QUOTED, A, J])
def test_it_is_known_of_a_line_that_cannot_end_with_it(behind: str, shows: str) -> None:
    assert ending((SEALED, STOPPED, shows, *VALUE), behind) == behind


@pytest.mark.parametrize("behind", [" host=vault-1", " host=vault-1 pod=vault-0"])
def test_pairs_behind_messages_without_a_colon_are_not_of_vault(behind: str) -> None:
    assert ending((SEALED, STOPPED, PAIR, PAIR), behind) == behind


@pytest.mark.parametrize(
    "lines",
    [
        (SEALED, SEALED, SEALED, SEALED),
        (
            f"{SEALED}: namespace=admin",
            f"{PAIR} namespace=admin",
            f"{STOPPED}: namespace=admin",
            f"{QUOTED} namespace=admin",
        ),
        (f"{STOPPED}: error=EOF",) * 4,
        (QUOTED, QUOTED.replace("x=1", "x=2"), QUOTED.replace("x=1", "x=3"), QUOTED.replace("x=1", "x=4")),
        (f"{PAIR} [h]", f"{QUOTED} [h]", f"{SEALED} [h]"),
        (f"{PAIR} [h]", f"{QUOTED} [h]", f"{SEALED} [h]", STOPPED),
        (A, A, A, A),
        (J, J, J, J),
        ("a b", "c b", "d b", "e b"),
        ("", "", "", ""),
    ],
)
def test_nothing_is_taken_from_lines_that_may_end_so(lines: tuple[str, ...]) -> None:
    assert ending(lines, "") == ""


def test_a_pair_of_all_messages_is_not_taken_with_it() -> None:
    lines = tuple(f"{line} b=2" for line in (PAIR, QUOTED, PAIR, QUOTED))
    assert ending(lines, " [h]") == " [h]"


def test_a_line_without_it_is_read_as_it_is() -> None:
    behind = [f"{line} [host=vault-1]\n" for line in (J, A, SEALED, *VALUE)]
    assert counted("".join(behind)) == Counted(1, 3)
    assert counted("".join([*behind * 2000, f"{SEALED}\n"])) == Counted(2000, 6001)
