"""Pass numbers through pySigma without rounding.

pySigma converts every number to a float, which changes integers above 2^53, and then 5.0 to 5. It looks up the type of
a value in `type_map`: this module registers types of its own there, which keep their value.
"""

from __future__ import annotations

from typing import Any

from sigma.types import SigmaNumber, type_map


class _Integer(int):
    """An integer, on its way through pySigma."""


class _Float(float):
    """Any other number, on its way through pySigma."""


class _ExactNumber(SigmaNumber):
    def __post_init__(self, init_number: int | float) -> None:
        self.number = int(init_number) if isinstance(init_number, int) else float(init_number)


type_map[_Integer] = _ExactNumber
type_map[_Float] = _ExactNumber


def exact_numbers(definition: Any) -> Any:
    """Copy a detection with its numbers in types that keep their value."""
    if isinstance(definition, dict):
        return {key: exact_numbers(value) for key, value in definition.items()}
    if isinstance(definition, list):
        return [exact_numbers(item) for item in definition]
    if isinstance(definition, bool):
        return definition
    if isinstance(definition, int):
        return _Integer(definition)
    return _Float(definition) if isinstance(definition, float) else definition
