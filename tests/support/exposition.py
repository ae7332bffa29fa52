"""A strict reader of Prometheus's text format: what it accepts, `promtool check metrics` accepts without a remark."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator

_NAME = r"[a-z_][a-z0-9_]*"
_LABEL = rf'({_NAME})="((?:[^"\\\n]|\\["\\n])*)"'
_HELP = re.compile(rf"# HELP ({_NAME}) (\S.*\.)")
_TYPE = re.compile(rf"# TYPE ({_NAME}) (counter|gauge)")
_SAMPLE = re.compile(rf"({_NAME})\{{((?:{_LABEL},)*{_LABEL})\}} (-?[0-9.]+(?:e[+-]?[0-9]+)?)")
_PLAIN = {r"\\": "\\", r"\"": '"', r"\n": "\n"}
_UNITS = re.compile(r"milli|micro|minutes|hours|kilo|mega|percent")

Series = dict[frozenset[tuple[str, str]], float]


def read_metrics(data: bytes) -> dict[str, Series]:
    """Return the value of each series by the name and the labels, after checking the text."""
    text = data.decode()
    assert text == "" or text.endswith("\n")
    found: dict[str, Series] = {}
    for name, kind, samples in _blocks(iter(text.split("\n")[:-1])):
        assert name not in found, f"{name} occurs twice"
        assert name.endswith("_total") == (kind == "counter"), f"{name} is a {kind}"
        assert not _UNITS.search(name), f"{name} has no base unit"
        found[name] = {}
        for labels, value in samples:
            assert labels not in found[name], f"{name} has a series twice"
            found[name][labels] = value
    _check_with_promtool(data)
    return found


def value(metrics: dict[str, Series], name: str, **labels: str) -> float:
    """Return the value of the one series that has at least these labels."""
    (found,) = (number for of, number in metrics[name].items() if of >= set(labels.items()))
    return found


def _blocks(lines: Iterator[str]) -> Iterator[tuple[str, str, list[tuple[frozenset[tuple[str, str]], float]]]]:
    """Yield each family: HELP and TYPE in this order, then its samples and nothing else."""
    rest = list(lines)
    while rest:
        help_, type_ = _HELP.fullmatch(rest.pop(0)), _TYPE.fullmatch(rest.pop(0))
        assert help_
        assert type_
        assert help_[1] == type_[1]
        samples = []
        while rest and not rest[0].startswith("#"):
            sample = _SAMPLE.fullmatch(rest.pop(0))
            assert sample
            assert sample[1] == help_[1]
            labels = re.findall(_LABEL, sample[2])
            assert len({name for name, _ in labels}) == len(labels)
            plain = frozenset((name, re.sub(r"\\.", lambda it: _PLAIN[it[0]], text)) for name, text in labels)
            samples.append((plain, float(sample.groups()[-1])))
        assert samples, f"{help_[1]} has no series"
        yield help_[1], type_[2], samples


def _check_with_promtool(data: bytes) -> None:
    if promtool := shutil.which("promtool"):
        done = subprocess.run([promtool, "check", "metrics"], input=data, capture_output=True, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, b"")
