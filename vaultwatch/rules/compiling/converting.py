"""Convert rules to the query languages of other systems, with pySigma's backends (the extra `convert`).

The backends know fields and placeholders by a processing pipeline, which `sigma convert` of sigma-cli reads too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from sigma.collection import SigmaCollection
from sigma.correlations import SigmaCorrelationRule
from sigma.processing.pipeline import ProcessingPipeline
from sigma.rule import SigmaDetection, SigmaRule
from sigma.types import SigmaCIDRExpression

from vaultwatch.errors import RuleError, SettingError
from vaultwatch.rules.compiling.collection import parsed_documents
from vaultwatch.rules.compiling.correlations import EXTENSIONS, FIRST_SEEN, is_absence, learns
from vaultwatch.rules.compiling.documents import Document, read_placeholders
from vaultwatch.rules.compiling.faults import one_line
from vaultwatch.rules.compiling.overrides import read_overrides
from vaultwatch.rules.compiling.parsed_rule import ParsedRule
from vaultwatch.rules.compiling.placeholders import NEVER, literal
from vaultwatch.rules.compiling.unsupported import SIGMA_FAULTS

_BACKENDS = {
    "splunk": ("sigma.backends.splunk", "SplunkBackend"),
    "elastic": ("sigma.backends.elasticsearch", "LuceneBackend"),
    "loki": ("sigma.backends.loki", "LogQLBackend"),
    "opensearch": ("sigma.backends.opensearch", "OpensearchLuceneBackend"),
}
TARGETS = tuple(_BACKENDS)
_SERVER = {"level": "@level", "module": "@module", "message": "@message", "fields.": ""}
"""A server log in JSON names these so; Vaultwatch reads the lines of text too, and has one name for both."""
_LISTS = ("auth.policies", "auth.token_policies", "response.auth.policies", "response.auth.token_policies")


class Query(NamedTuple):
    """A rule as a query, or, if `text` is "", why it is not one."""

    rule: str
    title: str
    level: str
    text: str
    refused: str = ""


def pipeline(target: str, directories: Sequence[Path]) -> dict[str, Any]:
    """Return the processing pipeline of a target: the placeholders of these folders, and how it names fields.

    Raises:
        RuleError: The placeholders cannot be read.
    """
    placeholders: dict[str, list[Any]] = {}
    for directory in directories:
        placeholders |= read_placeholders(directory)
    return {
        "name": f"Vaultwatch for {target}",
        "priority": 10,
        # pySigma refuses an empty list; no record has this value.
        "vars": {name: [literal(value) for value in values] or [NEVER] for name, values in placeholders.items()},
        "transformations": [
            {"id": "placeholders", "type": "value_placeholders"},
            {
                "id": "server_log_in_json",
                "type": "field_name_prefix_mapping",
                "mapping": dict(_SERVER),
                "rule_conditions": [{"type": "logsource", "product": "vault", "service": "server"}],
            },
            *_OF_TARGET.get(target, ()),
        ],
    }


_OF_TARGET: dict[str, list[dict[str, Any]]] = {
    "splunk": [
        {"id": "lists", "type": "field_name_mapping", "mapping": {name: f"{name}{{}}" for name in _LISTS}},
    ],
    "loki": [
        {"id": "json", "type": "set_custom_attribute", "attribute": "loki_parser", "value": "json"},
        # The backend names labels for itself, except where they are compared with networks.
        {"id": "labels", "type": "field_name_mapping", "mapping": {"request.remote_address": "request_remote_address"}},
        {
            "id": "lists",
            "type": "detection_item_failure",
            "message": "Loki's json parser leaves out lists",
            "field_name_conditions": [{"type": "include_fields", "fields": list(_LISTS)}],
        },
        *(  # labels are texts
            {
                "id": f"{text}_as_text",
                "type": "set_value",
                "value": text,
                "detection_item_conditions": [{"type": "match_value", "cond": "all", "value": text == "true"}],
            }
            for text in ("true", "false")
        ),
    ],
}


def convert(target: str, directories: Sequence[Path]) -> Iterator[Query]:
    """Convert the rules of these folders, with filters applied, without those that an overrides.yml disables.

    Args:
        target: One of `TARGETS`.
        directories: The folders; a later placeholders.yaml wins.

    Raises:
        RuleError: A rule does not compile.
        SettingError: The backend is not installed.
    """
    backend = _backend(target)(ProcessingPipeline.from_dict(pipeline(target, directories)))
    rules, correlations = parsed_documents(directories)
    overrides = read_overrides(directories)
    counting = [(document, _correlation(document)) for document in correlations]
    refused = {str(sigma.name): _why_not(document, sigma) for document, sigma in counting}
    _link(rules, [sigma for _, sigma in counting])
    everything: list[SigmaRule | SigmaCorrelationRule] = [*(rule.sigma for rule in rules), *(s for _, s in counting)]
    for sigma in everything:
        query = _query(target, backend, sigma)
        if why := refused.get(str(sigma.name), ""):
            query = query._replace(text="", refused=why)
        if (sigma.name not in overrides or overrides[sigma.name].enabled) and (query.text or query.refused):
            yield query


def _why_not(document: Document, sigma: SigmaCorrelationRule) -> str:
    """Return why no query can do what a correlation does; "" if one might."""
    if learns(document.found):
        return f"{FIRST_SEEN} is not part of Sigma"
    return "no query finds a group of which nothing came" if is_absence(sigma) else ""


def _backend(target: str) -> Any:
    module, name = _BACKENDS[target]
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise SettingError(
            f"--to {target}: {module} is not installed: install Vaultwatch with its extra `convert`"
        ) from error


def _correlation(document: Document) -> SigmaCorrelationRule:
    plain = {key: value for key, value in document.found.items() if key not in EXTENSIONS}
    try:
        return SigmaCorrelationRule.from_dict(plain)
    except SIGMA_FAULTS as error:
        raise RuleError(f"{document.where}: {one_line(error)}") from error


def _link(rules: Sequence[ParsedRule], correlations: Sequence[SigmaCorrelationRule]) -> None:
    """Let each correlation find the rules that it counts, which come before it and have no query of their own."""
    known = SigmaCollection([rule.sigma for rule in rules], resolve_references=False)
    for sigma in correlations:
        try:
            sigma.resolve_rule_references(known)
        except SIGMA_FAULTS as error:
            raise RuleError(f"{sigma.name}: {one_line(error)}") from error


def _query(target: str, backend: Any, sigma: SigmaRule | SigmaCorrelationRule) -> Query:
    facts = str(sigma.name), sigma.title, str(sigma.level).lower()
    convert_one = backend.convert_rule if isinstance(sigma, SigmaRule) else backend.convert_correlation_rule
    try:
        queries = convert_one(sigma)
    except (*SIGMA_FAULTS, NotImplementedError) as error:
        return Query(*facts, "", one_line(error))
    fields = _fields_in_networks(sigma) if target == "loki" else ()
    # The backend has renamed the fields of the pipeline in the rule itself.
    if wrong := next((field for field in fields if not field.isidentifier()), ""):
        return Query(*facts, "", f"Loki's backend cannot compare {wrong} with a network")
    return Query(*facts, "\n".join(map(str, queries)))


def _fields_in_networks(sigma: SigmaRule | SigmaCorrelationRule) -> Iterator[str]:
    rules: list[Any] = [sigma] if isinstance(sigma, SigmaRule) else [one.rule for one in sigma.rules or ()]
    waiting = [part for rule in rules for part in rule.detection.detections.values()]
    while waiting:
        part = waiting.pop()
        if isinstance(part, SigmaDetection):
            waiting += part.detection_items
        elif part.field and any(isinstance(value, SigmaCIDRExpression) for value in part.value):
            yield part.field
