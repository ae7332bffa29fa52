"""Whatever is in front of a message of the server log, its level and time are read, or the line is rejected."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.detection.records import SERVER
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.views import observing
from vaultwatch.reading.records import MISPLACED_MESSAGE, Rejected
from vaultwatch.reading.view import View

TIME, LEVEL, TEXT = "2026-11-21T07:29:43.933Z", "error", "failed to seal"
TEXT_LAYOUT = f"{TIME} [ERROR] core: {TEXT}"
PAIRS_LAYOUT = f'{TIME} [ERROR] core: {TEXT}: error="1 error occurred" path=sys/seal'
JSON_LAYOUT = json.dumps(
    {"@level": LEVEL, "@message": TEXT, "@module": "core", "@timestamp": TIME}, separators=(",", ":")
)
PLAIN = "2026-11-21T07:29:40.000Z [INFO]  core: vault is unsealed"
TIMES = (
    *("2026-11-21T07:29:41Z", "2026-11-21T07:29:41.123456789Z", "2026-11-21T07:29:41+0100", "2026-11-21 07:29:41,123"),
    *("2026-11-21 07:29:41.1 +0000 UTC", "Nov 21 07:29:41", "Nov 21 07:29:41.123456", "21/Nov/2026:07:29:41 +0000"),
    *("2026/11/21 07:29:41", "1795246181.065830", "1795246181065", "Sat 2026-11-21 07:29:41 UTC", "07:29:41.123"),
    *("[  12.345678]", "Sat, 21 Nov 2026 07:29:41 GMT", "2026-11-21T07:29:41.123+01:00", "11/21/2026 7:29:41 AM"),
)
WORDS = (
    *("vault", "vault-0", "host", "vault[12]:", "vault:", "openbao-1.example.org", "stdout", "stderr", "F", "INFO"),
    *("[INFO]", "[ERROR]", "ERROR", "<14>", "<14>1", "- -", "-", '[x@1 a="b"]', "vault 12 - -", "[pod/vault-0/vault]"),
    *(
        "vault-1  |",
        "vault.1.x9y8@node |",
        "level=info",
        "msg=",
        'app="vault"',
        '{app="vault"}',
        "{}",
        "key:",
        "key: '",
    ),
    *(
        "\x1b[36mvault-0\x1b[0m",
        "\x1b[31m",
        "(vault)",
        "{vault}",
        "::",
        ">>",
        "> ",
        "|",
        "12:",
        "   12\t",
        "\t",
        "  ",
        " ",
    ),
    *("véz", "日本", "\ufeff", "\u2028", "\xa0", "✓", "log.txt:12:", "log.txt-12-", "'", '"', "`", ",", ";", "=", "#"),
    *("file=/var/log/a.log", "ip-10-0-0-1", "kube-system/vault-0:vault", "* ", "- ", "1.", "[1]", "[vault-0 vault]"),
    *("@timestamp=1", "time=", "msg: ", '"message": ', "'log': ", "b'", "log=", "\\n", "\\t", "\x01", "&gt; ", "<b>"),
)
GAPS = ("", " ", "  ", "\t", ": ", " - ", " | ", ",", ";")
parts = st.lists(st.sampled_from(TIMES + WORDS), max_size=5)
prefixes = st.tuples(parts, st.sampled_from(GAPS), st.sampled_from((*GAPS, "")))
messages = st.sampled_from((TEXT_LAYOUT, PAIRS_LAYOUT, JSON_LAYOUT))


def written(prefix: tuple[list[str], str, str], message: str, form: str) -> str:
    words, gap, last = prefix
    line = gap.join(words) + last + message
    if form == "cell":
        return 'a,"' + line.replace('"', '""') + '",b'
    if form.startswith("json "):
        return json.dumps({"stream": "stdout", form[5:]: line, "time": "2026-11-21T07:29:41Z"})
    return {"line": line, "quoted": f'"{line}"', "array": json.dumps([line]), "cr": f"{line}\r"}[form]


forms = st.sampled_from(
    ("line", "line", "line", "cell", "quoted", "array", "cr", "json log", "json message", "json MESSAGE")
)


def read(lines: list[str], *, unwrap: bool) -> tuple[list[dict[str, Any]], list[Rejected]]:
    """Return the messages of the server log, and what was rejected."""
    seen, rejected = list[dict[str, Any]](), list[Rejected]()

    def observe(view: View) -> bool:
        seen.append(dict(view))
        return False

    one = Detector([observing(SERVER.compiled, observe)], on_rejected=rejected.append, unwrap=unwrap)
    content = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")
    one.begin_log(content)
    one.feed([part + b"\n" for part in content.split(b"\n")[:-1]])
    one.flush()
    assert one.counts.rejected == len(rejected)
    return seen, rejected


@settings(max_examples=300)
@given(prefixes, messages, forms, st.lists(st.just(PLAIN), max_size=1), st.booleans())
def test_a_message_is_never_read_without_its_level_and_time(
    prefix: tuple[list[str], str, str], message: str, form: str, before: list[str], unwrap: bool
) -> None:
    seen, rejected = read([*before, *[written(prefix, message, form)] * 2], unwrap=unwrap)
    found = [one for one in seen if TEXT in str(one["raw"])]
    assert [one for one in found if (one["level"], one["time"]) != (LEVEL, TIME)] == []
    assert len(found) + len(rejected) >= 2


@pytest.mark.parametrize("unwrap", [True, False])
def test_a_text_of_a_client_in_a_message_is_no_message_of_its_own(unwrap: bool) -> None:
    forged = json.dumps({"address": f"x {PAIRS_LAYOUT}", "@level": "warn", "@message": "denied", "@timestamp": TIME})
    seen, rejected = read([PLAIN, forged], unwrap=unwrap)
    assert ([(one["level"], one["message"]) for one in seen][1:], rejected) == ([("warn", "denied")], [])


@pytest.mark.parametrize("unwrap", [True, False])
def test_a_line_of_a_value_whose_message_has_ended_is_rejected(unwrap: bool) -> None:
    value = [f"  | {PAIRS_LAYOUT}"] * 1_001  # more lines than are joined
    seen, rejected = read([f"{TIME} [WARN]  core: failed:", "  error=", *value], unwrap=unwrap)
    assert [one["level"] for one in seen] == ["warn"]
    assert {one.reason for one in rejected} == {MISPLACED_MESSAGE}


@pytest.mark.parametrize("unwrap", [True, False])
def test_a_message_whose_quote_is_never_closed_takes_no_message_behind_it(unwrap: bool) -> None:
    seen, _ = read([PLAIN, *[f'{TIME}\t"{PAIRS_LAYOUT}"'] * 3], unwrap=unwrap)
    assert [one["level"] for one in seen] == ["info", *[LEVEL] * 3]


@pytest.mark.parametrize("end", ["\0", "\0\0"])
def test_a_message_that_ends_with_nul_is_read(end: str) -> None:
    seen, rejected = read([PLAIN + end, JSON_LAYOUT + end], unwrap=True)
    assert ([one["level"] for one in seen], rejected) == (["info", LEVEL], [])
