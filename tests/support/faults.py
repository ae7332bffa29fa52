"""Injects unexpected exceptions."""

from __future__ import annotations

from typing import Any

import pytest


def raise_on(
    monkeypatch: pytest.MonkeyPatch, where: object, name: str, sign: str, error: type[Exception] = ZeroDivisionError
) -> None:
    """Make a function of a module or an object raise whenever the sign is anywhere in its arguments."""
    real = getattr(where, name)

    def fragile(*args: Any, **kwargs: Any) -> Any:
        if sign in repr(args):
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(where, name, fragile)
