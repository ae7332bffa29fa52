"""How the rules of a deployment differ from the shipped ones, so that what silences rules shows where they are used."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from vaultwatch.rules.pack import Rule

_MOST_NAMED = 5


def differences(rules: Sequence[Rule], shipped: Sequence[Rule]) -> Iterator[str]:
    """Yield what could silence shipped rules, one sentence for each way.

    Args:
        rules: The rules in use.
        shipped: Those that Vaultwatch comes with.
    """
    used = {rule.name: rule for rule in rules}
    pairs = [(used[rule.name], rule) for rule in shipped if rule.name in used]
    yield from _named("not used", [rule.name for rule in shipped if rule.name not in used])
    files = sorted(
        {file for one, other in pairs for file in one.compiled.filters if file not in other.compiled.filters}
    )
    why = f" (filters: {_listed(files)})" if files else ""
    yield from _named(
        f"used with another condition{why}", [one.name for one, other in pairs if one.digest != other.digest]
    )
    yield from _named(
        "used at a lower level, staged or with another window",
        [one.name for one, other in pairs if _is_quieter(one, other)],
    )


def _is_quieter(rule: Rule, shipped: Rule) -> bool:
    one, other = rule.compiled, shipped.compiled
    return (
        one.level.rank < other.level.rank
        or (one.denied_level or one.level).rank < (other.denied_level or other.level).rank
        or (one.staged and not other.staged)
        or one.window_seconds != other.window_seconds
    )


def _named(how: str, names: Collection[str]) -> Iterator[str]:
    if names:
        many = "1 shipped rule is" if len(names) == 1 else f"{len(names)} shipped rules are"
        yield f"{many} {how}: {_listed(sorted(names))}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
