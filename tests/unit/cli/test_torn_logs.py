"""A log whose lines were cut, or into which two programs have written at once, is named as what it is."""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path

import pytest

from tests.unit.cli.test_check import DATA, SERVER
from vaultwatch.cli import main

AUDIT = DATA / "audit-device-changes" / "audit.jsonl"
ENTRIES = AUDIT.read_text().splitlines()


def said(capfd: pytest.CaptureFixture[str], *arguments: object) -> list[str]:
    """Return what check says of a log."""
    main(["check", "--jobs", "1", *map(str, arguments)])
    return capfd.readouterr().err.splitlines()


def pasted(text: str) -> str:
    command = text[text.rindex("; ") :].partition(": ")[2]
    return subprocess.run(["sh", "-c", command], check=True, capture_output=True, text=True).stdout


def is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


@pytest.mark.parametrize("width", [120, 200, 480])
@pytest.mark.parametrize(
    "form",
    [
        lambda entry, width: entry[:width],
        lambda entry, width: f"<13>Nov 21 07:29:41 host vault[1]: {entry}"[:width],
        lambda entry, width: f"2026-11-21T07:29:41.123Z stdout F {entry}"[:width],
    ],
)
def test_lines_that_were_cut_at_one_length_cannot_be_recovered(form, width, tmp_path: Path, capfd) -> None:  # type: ignore[no-untyped-def]
    lines = [form(entry, width) for entry in ENTRIES]
    (log := tmp_path / "cut.log").write_text("\n".join(lines) + "\n")
    for text in said(capfd, log)[0], said(capfd, tmp_path)[0]:
        assert f"{len(lines)} lines end at byte {width}, and none of the others is longer" in text
        assert (
            "what is missing is not in this file: read the log itself (`vault audit list -detailed` names it)" in text
        )
        assert "wrapped" not in text
        assert pasted(text).splitlines() == [f"{number}: {line}" for number, line in enumerate(lines, 1)]


def test_lines_that_were_cut_in_an_envelope_are_named_too(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lines = [json.dumps({"log": entry[:200], "time": "2026-11-21T07:29:41Z"}) for entry in ENTRIES]
    (log := tmp_path / "cut.log").write_text("\n".join(lines) + "\n")
    (text, *_) = said(capfd, log)
    assert f"{len(lines)} lines end at byte 200, and none of the others is longer" in text
    assert text.endswith("(`vault audit list -detailed` names it)")


def test_cut_messages_in_json_are_named_with_what_is_to_be_read_instead(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    message = '{"@level":"info","@message":"%s","@module":"core","@timestamp":"2026-11-21T07:29:41Z"}'
    lines = [(message % ("long " * length))[:100] for length in range(20, 40)]
    (log := tmp_path / "cut.log").write_text("\n".join(lines) + "\n")
    (text, *_) = said(capfd, log)
    assert "20 lines end at byte 100" in text


def test_a_few_cut_lines_are_named_although_most_of_the_log_is_read(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (log := tmp_path / "cut.log").write_text("\n".join(entry[:1400] for entry in ENTRIES) + "\n")
    cut = sum(len(entry) > 1400 for entry in ENTRIES)
    assert 2 <= cut < len(ENTRIES) / 2
    found = said(capfd, log)
    assert (
        f"cut.log: {cut} lines cannot be read: broken JSON: cut off at byte 1400 of 1400; {cut} lines end at byte 1400"
        in found[0]
    )
    assert len(pasted(found[0]).splitlines()) == cut
    assert said(capfd, "-q", log) == []


def test_a_log_that_ends_within_an_entry_is_not_cut(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (log := tmp_path / "log").write_text("\n".join([*ENTRIES, ENTRIES[0][:200]]))
    *others, closing = said(capfd, log)
    assert "1 rejected line (broken JSON: cut off)" in closing
    assert not any("cut" in line for line in others)


def test_lines_into_which_two_programs_wrote_at_once_are_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    writers = ["".join(f"{entry}\n" for entry in ENTRIES[start::2]) for start in (0, 1)]
    blocks = [[text[at : at + 4096] for at in range(0, len(text), 4096)] for text in writers]
    mixed = "".join(block for pair in itertools.zip_longest(*blocks, fillvalue="") for block in pair)
    (log := tmp_path / "mixed.log").write_text(mixed)
    (text, *_) = said(capfd, log)
    assert "begin and end like entries and are broken in between: two programs wrote to this file at once" in text
    broken = {line.partition(":")[0] for line in pasted(text).splitlines()}
    assert broken == {str(number) for number, line in enumerate(mixed.splitlines(), 1) if not is_json(line)}


def test_of_what_servers_wrote_nothing_is_cut_or_mixed(capfd: pytest.CaptureFixture[str]) -> None:
    assert len(said(capfd, AUDIT, SERVER)) == 1


@pytest.mark.parametrize("prefix", ['"', "x "])
@pytest.mark.parametrize("length", [9, 60, 75])
def test_an_entry_with_escaped_quotes_that_was_cut_is_rejected(
    prefix: str, length: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also if nothing that it opens is closed."""
    cut = prefix + json.dumps(ENTRIES[0])[1 : length + 1]
    assert "}" not in cut
    (log := tmp_path / "cut.log").write_text(f"{cut}\n")
    assert "1 rejected line (broken JSON: cut off)" in said(capfd, log)[-1]
