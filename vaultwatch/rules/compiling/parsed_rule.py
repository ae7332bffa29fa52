"""Check one Sigma rule, parse it with pySigma, and translate it to a compiled rule."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec
from sigma.exceptions import SigmaConditionError
from sigma.rule import SigmaRule, SigmaRuleBase

from vaultwatch.errors import RuleError
from vaultwatch.rules.compiling import notifying
from vaultwatch.rules.compiling.checks import check_fields, check_negations
from vaultwatch.rules.compiling.documents import Document, located
from vaultwatch.rules.compiling.faults import not_read, not_sigma, one_line
from vaultwatch.rules.compiling.numbers import exact_numbers
from vaultwatch.rules.compiling.placeholders import Placeholders, fill, used
from vaultwatch.rules.compiling.translate import translate
from vaultwatch.rules.compiling.unsupported import (
    SIGMA_FAULTS,
    refuse_other_conditions,
    refuse_unknown_keys,
    refuse_unsupported,
)
from vaultwatch.rules.conditions import Condition, Or
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import CompiledRule
from vaultwatch.rules.titles import fault_of_name, fault_of_title

RULE_KEYS = frozenset(
    (
        *("title", "id", "name", "status", "description", "references", "author", "date", "modified", "tags"),
        *("logsource", "detection", "fields", "falsepositives", "level", "related", "license", "scope", "taxonomy"),
        *notifying.KEYS,
    )
)
_STATUSES = {"stable": False, "test": False, "experimental": True}

_OF_FILTER = re.compile("^selection _filt_[a-z]{10}_")
"""How pySigma begins the names of a filter's selections."""


def check_shape(
    where: str, found: dict[str, Any], path: Path, keys: Collection[str], required: Collection[str]
) -> None:
    """Refuse a rule that lacks keys, has others than these, or one of whose facts is not valid.

    Args:
        where: The rule's file, for the error.
        found: The rule, as parsed from YAML.
        path: The file.
        keys: The keys that it may have.
        required: The keys that it must have.

    Raises:
        RuleError: Says what is wrong.
    """
    refuse_unknown_keys(where, found, keys)
    missing = [key for key in required if not found.get(key)]
    if missing:
        raise RuleError(f"{where}: no {', '.join(missing)}")
    name, status, level = found["name"], found.get("status", "test"), found["level"]
    if name != path.stem:
        raise RuleError(f"{where}: name is {name}, but the file is {path.name}: they must be the same")
    if fault := fault_of_name(name) or fault_of_title(str(found["title"])):
        raise RuleError(f"{where}: {fault}")
    if str(status) not in _STATUSES:
        raise RuleError(f"{where}: unsupported status {status}: not one of {', '.join(_STATUSES)}")
    if level not in list(Level):
        raise RuleError(f"{where}: unknown level {level}: not one of {', '.join(Level)}")
    for key in ("falsepositives", "references"):
        texts = found.get(key) or []
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise RuleError(f"{where}: {key}: a list of texts; one with a colon and a space needs quotes")


def common_facts(sigma: SigmaRuleBase, notified: notifying.Notifying) -> dict[str, Any]:
    """Return the facts that rules and correlations share, under the names of `CompiledRule`.

    Args:
        sigma: The rule as parsed by pySigma.
        notified: Its keys that control notifications.
    """
    return {
        "name": str(sigma.name),
        "title": sigma.title,
        "level": Level(str(sigma.level).lower()),
        "staged": _STATUSES[str(sigma.status or "test").lower()],
        "description": " ".join((sigma.description or "").split()),
        **msgspec.structs.asdict(notified),
        "tags": tuple(str(tag) for tag in sigma.tags),
        "falsepositives": tuple(sigma.falsepositives),
        "references": tuple(sigma.references),
    }


class ParsedRule:
    """A rule as parsed by pySigma, to which filters are applied before it is compiled.

    Errors name the file of the rule, and those of its filters.
    """

    def __init__(self, document: Document, placeholders: Placeholders) -> None:
        """Parse one document.

        Raises:
            RuleError: It is not a rule, or uses something that is not supported.
        """
        where, path, found = document
        self.documents = [document]
        self.filters: list[str] = []
        check_shape(where, found, path, RULE_KEYS, ("title", "name", "level", "logsource", "detection"))
        self._notifying = notifying.read_notifying(found, where)
        try:
            filled = {**found, "detection": fill(found["detection"], placeholders)}
            self.placeholders = used(found["detection"], placeholders)
            refuse_unsupported(filled["detection"])
            refuse_other_conditions(filled["detection"])
            filled["detection"] = exact_numbers(filled["detection"])
            self.sigma = SigmaRule.from_dict({key: filled[key] for key in filled if key not in notifying.KEYS})
        except RuleError as error:
            raise located(error, self.documents) from error
        except SIGMA_FAULTS as error:
            raise located(not_sigma(error), self.documents) from error

    @property
    def where(self) -> str:
        """The names of its file and those of its filters, for errors."""
        return " with ".join(document.where for document in self.documents)

    @property
    def name(self) -> str:
        """The rule's name."""
        return str(self.sigma.name)

    def selections(self) -> dict[Condition, str]:
        """Return the names of the selections by their conditions; those of filters are marked as such."""
        detection = self.sigma.detection
        return {
            translate(one.postprocess(detection)): _OF_FILTER.sub("filter ", f"selection {name}")
            for name, one in detection.detections.items()
        }

    def compile(self) -> CompiledRule:
        """Translate and check the rule.

        Raises:
            RuleError: Names the file, and says what is wrong.
        """
        sigma = self.sigma
        service = sigma.logsource.service
        if sigma.logsource.product != "vault" or service not in ("audit", "server") or sigma.logsource.category:
            raise RuleError(f"{self.where}: logsource is not {{product: vault, service: audit|server}}")
        condition = self._condition()
        try:
            check_fields(condition, service)  # type: ignore[arg-type]  # narrowed just above
            notifying.check_group_fields(self._notifying, service)  # type: ignore[arg-type]
            if service == "audit":
                check_negations(condition)
        except RuleError as error:
            raise located(error, self.documents) from error
        return CompiledRule(
            service=service,  # type: ignore[arg-type]
            condition=condition,
            placeholders=self.placeholders,
            filters=tuple(self.filters),
            **common_facts(sigma, self._notifying),
        )

    def _condition(self) -> Condition:
        detection = self.sigma.detection
        parts = []
        for condition in detection.parsed_condition:
            try:
                parts.append(translate(condition.parsed))
            except SigmaConditionError as error:
                text = not_read(condition.condition, error, detection.detections) + self._hint()
                raise located(RuleError(text, about=condition.condition), self.documents) from error
            except RuleError as error:
                raise located(error, self.documents) from error
            except SIGMA_FAULTS as error:
                raise RuleError(f"{self.where}: {one_line(error)}{self._hint()}") from error
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _hint(self) -> str:
        """Return a hint if only `_` names are the problem: Sigma's `them` leaves out selections that begin with `_`."""
        detection = self.sigma.detection
        is_hidden = all(name.startswith("_") for name in detection.detections)
        return (
            "; the names of all selections begin with _, which `them` leaves out"
            if is_hidden and any("of them" in condition for condition in detection.condition)
            else ""
        )
