"""Say what is wrong with a file of rules in plain words, and on which line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import re2
import yaml
from sigma.rule.base import SigmaYAMLLoader

from vaultwatch.errors import RuleError, did_you_mean
from vaultwatch.rules.pack import shipped_rules

_QUOTED = "put the value in quotes"
_ODD_START = "found character that cannot start any token"
_PLAIN_WORDS = {
    _ODD_START: "a tab: indent with spaces",
    "found a tab character that violates indentation": "a tab: indent with spaces",
    "found undefined alias": f"a value begins with `*`, which YAML takes for an alias: {_QUOTED}",
    "could not determine a constructor for the tag": f"a value begins with `!`: {_QUOTED}",
    "did not find expected whitespace or line break": f"a value begins with `!`: {_QUOTED}",
    "mapping values are not allowed": f"a second `:` on a line, or a wrong indent; if it belongs to a value, {_QUOTED}",
    "found unknown escape character": "an unknown escape with `\\` in double quotes: use single quotes",
    "found unexpected end of stream": "a quote that began on line {began} does not end",
    "did not find expected key": "a wrong indent, or text after a quoted value, in what begins on line {began}",
    "did not find expected ',' or ']'": "a `[` that began on line {began} does not end",
    "did not find expected ',' or '}'": "a `{{` that began on line {began} does not end",
    "did not find expected node content": "a value is missing, or a `[` or `{{` does not end",
}
"""What is meant by the beginnings of PyYAML's messages."""
_MAX_TEXT = 300
_MODIFIERS = (
    *("contains", "startswith", "endswith", "all", "cased", "neq", "exists", "re", "i", "m", "s", "cidr", "fieldref"),
    *("lt", "lte", "gt", "gte", "expand", "minute", "hour", "day", "week", "month", "year"),
)
_UNKNOWN_MODIFIER = re.compile(r"Unknown modifier '(?P<about>.*)'")
_NO_VALUE_FOR = re.compile(r"Modifier Sigma\w+ incompatible to value type of '(?P<about>.*)'")
_NO_NETWORK = re.compile(r"Invalid CIDR expression: '?(?P<about>[^' ]*)'? (?P<reason>.*)")
_LINE = re.compile(r"line ([0-9]+): (.*)")
_NOT_FOUND = re.compile(r"Detection '(?P<name>.*)' not defined in detections")
_NOT_READ = re.compile(r"found (?P<found>end of text|'.*')\s+\(at char (?P<at>[0-9]+)\)")


def one_line(error: BaseException) -> str:
    """Return an error's text in one line of at most 300 characters."""
    return " ".join(str(error).split())[:_MAX_TEXT]


def not_re2(pattern: str, error: re2.error) -> RuleError:
    """Return the error of a regex that RE2 does not accept."""
    reason = error.args[0] if error.args else ""
    shown = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
    return RuleError(f"regular expression '{pattern}' is not RE2's: {shown}", about=pattern)


def not_yaml(error: BaseException, text: str, where: str) -> RuleError:
    """Return the error of a file that is not YAML.

    Args:
        error: What reading it raised.
        text: What is in the file.
        where: The file's name in the error.
    """
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark) is not None:
        began = (error.context_mark or mark).line + 1
        rest = "".join(text.split("\n")[mark.line : mark.line + 1])[mark.column :]
        number = min(mark.line, text.rstrip().count("\n")) + 1  # the end of a text is behind its last line
        return RuleError(f"{where}, line {number}: not YAML: {_in_plain_words(str(error.problem), began, rest)}")
    if isinstance(error, yaml.reader.ReaderError):
        number = text.count("\n", 0, int(error.position)) + 1
        return RuleError(f"{where}, line {number}: not YAML: the character {int(error.character):#04x} in a text")
    if found := _LINE.fullmatch(one_line(error)):
        return RuleError(f"{where}, line {found[1]}: {found[2]}")
    return RuleError(f"{where}: not YAML: {one_line(error)}")


def _in_plain_words(problem: str, began: int, rest: str) -> str:
    """Return what is wrong.

    Args:
        problem: What PyYAML says.
        began: The line of what it was reading.
        rest: The line from where it stopped.
    """
    if problem == _ODD_START and not rest.startswith("\t"):
        return f"a value begins with `{rest[:1]}`: {_QUOTED}"
    for beginning, text in _PLAIN_WORDS.items():
        if problem.startswith(beginning):
            return text.format(began=began)
    return problem


def not_sigma(error: BaseException) -> RuleError:
    """Return in plain words why pySigma does not accept a detection."""
    text = one_line(error)
    if found := _UNKNOWN_MODIFIER.fullmatch(text):
        return RuleError(f"unknown modifier {found['about']}{did_you_mean(found['about'], _MODIFIERS)}", found["about"])
    if found := _NO_VALUE_FOR.fullmatch(text):
        return RuleError(f"the value `{found['about']}` does not suit its modifier", found["about"])
    if found := _NO_NETWORK.fullmatch(text):
        return RuleError(f"`{found['about']}` is no network in CIDR notation: it {found['reason']}", found["about"])
    if text == "Unsupported type: <class 'dict'>":
        return RuleError("the value of a field is a mapping: write a dotted name, as in `request.data.key`")
    if text == "Sigma rule must contain at least one condition":
        return RuleError("the detection has no `condition`", "detection")
    return RuleError(text)


def not_read(condition: str, error: BaseException, selections: Iterable[str]) -> str:
    """Return in plain words why pySigma does not accept a condition.

    Args:
        condition: The condition.
        error: What pySigma raised.
        selections: The names of the rule's selections.
    """
    text = one_line(error)
    if found := _NOT_FOUND.search(text):
        hint = did_you_mean(found["name"], selections)
        return f"the condition names {found['name']}, but there is no such selection{hint}"
    if found := _NOT_READ.search(text):
        if found["found"] == "end of text":
            return f"the condition `{condition}` is not complete"
        return f"the condition `{condition}` cannot be read from `{condition[int(found['at']) :]}` on"
    return text


def lines_of(path: Path, about: str) -> list[int]:
    """Return the lines of a file of YAML with a value or key, or with a value that contains a placeholder."""
    try:
        documents = list(yaml.compose_all(path.read_text("utf-8"), SigmaYAMLLoader))
    except (yaml.YAMLError, OSError, ValueError, RecursionError):  # it was read before: another program changed it
        return []
    nodes = [node for document in documents for node in _scalars(document) if _is_about(node.value, about)]
    return [int(node.start_mark.line) + 1 for node in nodes]


def _is_about(value: str, about: str) -> bool:
    return about == value or about in value.split("|") or (about[:1] == "%" and about in value)


def hint_of_rule(name: str, known: Iterable[str]) -> str:
    """Return the end of an error about a rule that is not among those that were loaded."""
    if name in (rule.name for rule in shipped_rules()):
        return ": it is a shipped rule, so name `shipped` before the folder"
    return did_you_mean(name, known)


def _scalars(node: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _scalars(key)
            yield from _scalars(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _scalars(item)
