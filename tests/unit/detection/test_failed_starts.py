"""A server that could not start writes a line without time and level: it may be all that there is of a log."""

from __future__ import annotations

import pytest

from tests.unit.detection.test_any_prefix import read

LINES = (
    "Error initializing storage of type raft: failed to create fsm: failed to open bolt file: timeout",
    "Error initializing core: licensing could not be initialized: license is expired",
    "Error initializing listener of type tcp: listen tcp4 0.0.0.0:8200: bind: address already in use",
    "Error parsing Seal configuration: error fetching AWS KMS wrapping key information: AccessDeniedException",
    'Error configuring seal "transit": failed to reach the server',
    "error loading configuration from /etc/vault.d/vault.hcl: At 11:1: literal not terminated",
    "ERROR! Storage migration in progress: do not run",
)
BEFORE = ("", "Nov 21 07:29:41 vault-1 vault[7]: ")


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("line", LINES)
def test_it_is_read_wherever_it_stands(line: str, before: str) -> None:
    seen, rejected = read([before + line], unwrap=True)
    assert ([one["message"] for one in seen], rejected) == ([line], [])
    shell = ["root@vault-1:~# systemctl status vault"] * 2
    seen, rejected = read([*shell, before + line], unwrap=True)
    assert ([one["message"] for one in seen], rejected) == ([*shell, line], []), "what is beside it may be of its log"


@pytest.mark.parametrize("line", ["Error initializing the printer", "Error: no such file", "error loading page"])
def test_errors_of_other_programs_are_none(line: str) -> None:
    seen, rejected = read(["a", line], unwrap=True)
    assert (seen, len(rejected)) == ([], 2)


def test_a_message_behind_the_name_of_a_container_is_read() -> None:
    line = "Nov 21 07:29:41 192.0.2.1 logger:  /tasks-vault-3-5b0a 2016/11/21 07:29:41 [WARN] core: leadership lost"
    seen, rejected = read([line], unwrap=True)
    assert ([(one["level"], one["message"]) for one in seen], rejected) == ([("warn", "leadership lost")], [])
