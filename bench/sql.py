"""The SQL by which DuckDB finds what rules find in an audit log, made from their compiled conditions.

Each entry becomes a row of texts in lower case, "" for what is absent, so that no test is null. A list is a column of
its own type. What hardly any entry has is not asked for: null for a value that is given, a mount point with more than
two namespaces before it, and policies with capital letters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vaultwatch.reading.view import DEFAULT_MOUNTS
from vaultwatch.rules.conditions import (
    And,
    Boolean,
    Condition,
    Exists,
    FieldReference,
    FieldTest,
    Given,
    Keyword,
    Never,
    Not,
    Number,
    Operator,
    Or,
    Text,
    fields_of,
)
from vaultwatch.rules.correlations import Correlation
from vaultwatch.rules.pack import CompiledRule

LISTS = frozenset({"auth.policies", "response.auth.policies"})
_OPERATORS: dict[Operator, str] = {"eq": "=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_COUNTED = "count(DISTINCT {})"
_ALWAYS = ("type", "time", "error", "request.id", "request.path", "request.mount_point", "request.mount_type")
_DERIVED = {
    "mount_type": "mount_type",
    "mount_path": "mount_path",
    "outcome": "outcome",
    "local.hour": "substr(logged_time, 12, 2)::INT",
    "local.weekday": "isodow(substr(logged_time, 1, 10)::DATE)",
}
_NOT_IN_SQL = frozenset(
    {"partial", "undecided", "secret_in_clear", "repeated_members", "own_login", "cluster", "node", "lane"}
)


class NotInSql(Exception):
    """A rule cannot be said in SQL; the text says why."""


def takes(rule: CompiledRule) -> str:
    """Return why a rule cannot be said in SQL, or ""."""
    try:
        if rule.correlation:
            _having(rule.correlation)
        else:
            _where(rule.condition)
    except NotInSql as reason:
        return str(reason)
    return ""


def query(rules: Sequence[CompiledRule], corpus: str = "CORPUS") -> str:
    """Return the SQL that yields, for each match, the name of the rule and the id of the call.

    A rule that counts yields its groups and windows instead of ids, and those that it counts yield nothing.

    Raises:
        NotInSql: A rule cannot be said in SQL.
    """
    by_name = {rule.name: rule for rule in rules}
    counted = {name for rule in rules if rule.correlation for name in rule.correlation.rules}
    parts = []
    for rule in rules:
        if rule.correlation:
            parts.append(_counting(rule.name, rule.correlation, by_name))
        elif rule.name not in counted:
            parts.append(f"SELECT {_quoted(rule.name)} AS rule, id FROM entry WHERE {_where(rule.condition)}")
    fields = {*_ALWAYS, *(field for rule in rules for field in _fields(rule))} - set(_DERIVED)
    found = "\nUNION ALL ".join(parts)
    return f"CREATE TEMP TABLE entry AS {_entries(sorted(fields), corpus)};\nSELECT DISTINCT rule, id FROM ({found})"


def _fields(rule: CompiledRule) -> Iterable[str]:
    counted = rule.correlation
    return (*counted.group_by, *counted.fields) if counted else fields_of(rule.condition)


def _counting(name: str, counted: Correlation, by_name: dict[str, CompiledRule]) -> str:
    """Return the SQL of a correlation: a window begins every half timespan and is a whole one long."""
    found = " OR ".join(_where(by_name[base].condition) for base in counted.rules)
    group = ", ".join(map(_as_counted, counted.group_by)) or "''"
    half = f"floor(epoch(logged_time::TIMESTAMP) * 2 / {counted.timespan_seconds})"
    fields = ", ".join(map(_as_counted, counted.fields)) if counted.type == "value_count" else "id"
    filled = " AND ".join(f"{_as_counted(field)} != ''" for field in counted.fields) or "true"
    known = f"concat({group}) != ''" if counted.group_by else "true"
    return (
        f"SELECT {_quoted(name)} AS rule, concat_ws(' ', {group}, begun) AS id FROM (SELECT *, {half} AS half "
        f"FROM entry WHERE ({found}) AND {filled} AND {known}), (SELECT unnest([0, 1]) AS back), "
        f"LATERAL (SELECT half - back AS begun) GROUP BY {group}, begun "
        f"HAVING {_having(counted).format(fields)} AND (begun % 2 = 0 OR min(half) < max(half))"
    )


def _having(counted: Correlation) -> str:
    if counted.type not in ("event_count", "value_count"):
        raise NotInSql(f"{counted.type} is not counted")
    if counted.aliases or len(counted.fields) > 1:
        raise NotInSql("aliases and several fields are not counted")
    return f"{_COUNTED} >= {counted.threshold}"


def _as_counted(field: str) -> str:
    """Return a field in the case in which it is logged; hashes differ between devices and are not counted."""
    column = f"logged_{_column(field)}"
    return f"if(starts_with({column}, 'hmac-sha256:'), '', {column})"


def _where(condition: Condition) -> str:
    match condition:
        case And(parts):
            return "(" + " AND ".join(map(_where, parts)) + ")"
        case Or(parts):
            return _any(condition.parts) if parts else "false"
        case Not(part):
            return f"NOT {_where(part)}"
        case Never():
            return "false"
        case Keyword():
            raise NotInSql("a keyword is searched in all fields")
        case _:
            return _test(condition)


def _any(parts: Sequence[Condition]) -> str:
    """Return the SQL of alternatives; whole texts of one field are one list."""
    whole: dict[str, list[str]] = {}
    others = []
    for part in parts:
        if isinstance(part, Text) and part.how == "eq" and not part.cased and part.field not in LISTS:
            whole.setdefault(_value(part.field), []).append(_quoted(part.value))
        else:
            others.append(_where(part))
    lists = [f"{column} IN ({', '.join(values)})" for column, values in whole.items()]
    return "(" + " OR ".join([*lists, *others]) + ")"


def _test(test: FieldTest) -> str:
    column = _value(test.field)
    if test.field in LISTS:
        return _list_test(column, test)
    match test:
        case Text(cased=True):
            raise NotInSql("a text in its own case")
        case Text(how=how, value=value):
            return {
                "eq": f"{column} = {_quoted(value)}",
                "prefix": f"starts_with({column}, {_quoted(value)})",
                "suffix": f"ends_with({column}, {_quoted(value)})",
                "contains": f"contains({column}, {_quoted(value)})",
                "glob": f"{column} LIKE {_quoted(_like(value))} ESCAPE '\\'",
            }[how]
        case Boolean(wanted=wanted):
            return f"{column} = '{'true' if wanted else 'false'}'"
        case Exists(wanted=wanted) | Given(wanted=wanted):
            return f"{column} {'NOT ' if wanted else ''}IN ('', '[]')"
        case Number(op=op, value=number):
            return f"coalesce(TRY_CAST({column} AS DOUBLE) {_OPERATORS[op]} {number}, false)"
        case FieldReference(other=other, how=how) if other not in LISTS:
            value = _value(other)
            compared = {
                "eq": f"{column} = {value}",
                "prefix": f"starts_with({column}, {value})",
                "suffix": f"ends_with({column}, {value})",
                "contains": f"contains({column}, {value})",
            }[how]
            return f"({compared} AND {value} <> '')"
        case _:
            raise NotInSql(f"a test of the kind {type(test).__name__}")


def _list_test(column: str, test: FieldTest) -> str:
    match test:
        case Text(how="eq", value=value):
            return f"list_contains({column}, {_quoted(value)})"
        case Exists(wanted=wanted) | Given(wanted=wanted):
            return f"len({column}) {'>' if wanted else '='} 0"
        case _:
            raise NotInSql(f"{test.field} is a list")


def _value(field: str) -> str:
    if field.partition(".")[0] in _NOT_IN_SQL:
        raise NotInSql(f"{field} is derived by code")
    return _DERIVED.get(field) or _column(field)


def _column(field: str) -> str:
    return field.replace(".", "_")


def _like(value: str) -> str:
    if "\\" in value:
        raise NotInSql("an escaped wildcard")
    escaped = value.replace("_", "\\_").replace("%", "\\%")
    return escaped.replace("*", "%").replace("?", "_")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _entries(fields: Sequence[str], corpus: str) -> str:
    """Return the SQL of a table with one row per entry, and a column for each field and derived field."""
    texts = [field for field in fields if field not in LISTS]
    logged = ", ".join(f"coalesce({_logged(field)}, '') AS logged_{_column(field)}" for field in texts)
    lists = "".join(f", coalesce({field}, []) AS {_column(field)}" for field in fields if field in LISTS)
    lower = ", ".join(f"lower(logged_{_column(field)}) AS {_column(field)}" for field in texts)
    names = [_column(field) for field in texts]
    kept = ", ".join(f"logged_{name}" for name in names if not name.startswith(("request_data", "response")))
    columns = ", ".join(_column(field) for field in fields if field in LISTS)
    default = ", ".join(f"{_quoted(point)}: {_quoted(kind)}" for point, kind in DEFAULT_MOUNTS.items())
    first = "regexp_extract(logged_request_path, '^(auth/)?[^/]*/')"
    kind = (
        f"coalesce(nullif(regexp_replace(logged_request_mount_type, '^ns_', ''), ''), MAP {{{default}}}[{first}], '')"
    )
    points = [f"coalesce(nullif(logged_request_mount_point, ''), if(kind = '', '', {first}))"]
    for _ in range(2):  # OpenBao logs a mount point with its namespace, and the path without
        points.append(f"substr({points[-1]}, strpos({points[-1]}, '/') + 1)")
    cases = "".join(f"WHEN starts_with(logged_request_path, {one}) THEN {one} " for one in points)
    point = f"CASE {cases}ELSE '' END"
    below = "if(ends_with(point, '/'), substr(logged_request_path, len(point) + 1), '')"
    empty = "('null', '\"\"', '[]')"
    keys = f"list_filter(json_keys(answer), lambda key: json_extract(answer, key)::VARCHAR NOT IN {empty})"
    filled = f"{keys} IN (['error'], ['errors'])"
    ended = (
        f"CASE WHEN logged_error != '' THEN 'failed' WHEN logged_type != 'response' THEN 'unknown' "
        f"WHEN coalesce(logged_request_path LIKE 'auth/%' AND {filled}, false) THEN 'failed' ELSE 'succeeded' END"
    )
    return (
        f"WITH logged AS (SELECT {logged}{lists}, response.data AS answer FROM read_json({_quoted(corpus)}, "
        f"format = 'newline_delimited', maximum_object_size = 16777216, columns = {{{_columns(fields)}}})), "
        f"mounted AS (SELECT *, {kind} AS kind FROM logged), pointed AS (SELECT *, {point} AS point FROM mounted) "
        f"SELECT logged_request_id AS id, {kept}, {columns}, {lower}, {ended} AS outcome, "
        f"if(kind = 'generic', 'kv', lower(kind)) AS mount_type, lower({below}) AS mount_path FROM pointed"
    )


def _logged(field: str) -> str:
    """Return where a field is in the columns that are read: a part of what a client sent is within JSON."""
    parts = field.split(".")
    if parts[0] == "response" and parts[1] == "data":
        return f"response.data ->> {_quoted('$.' + '.'.join(parts[2:]))}"
    if parts[:2] == ["request", "data"]:
        return f"request.data.{parts[2]} ->> {_quoted('$' + ''.join(f'.{part}' for part in parts[3:]))}"
    return field


def _columns(fields: Sequence[str]) -> str:
    """Return the columns to read and their types, of which each has only the members that are asked for."""
    top: dict[str, dict[str, str]] = {"response": {"data": "JSON"}}
    data: set[str] = set()
    auth: dict[str, str] = {}
    namespace = False
    flat = []
    for field in fields:
        first, *rest = field.split(".")
        kind = "VARCHAR[]" if field in LISTS else "VARCHAR"
        if not rest:
            flat.append(f"{first}: 'VARCHAR'")
        elif rest[0] == "data" and first == "request":
            data.add(rest[1])
        elif first == "response" and rest[0] == "auth":
            auth[rest[1]] = kind
        elif rest[0] == "namespace":
            namespace = True
        elif rest[0] != "data":
            top.setdefault(first, {})[rest[0]] = kind
    if data:
        top.setdefault("request", {})["data"] = _struct(dict.fromkeys(sorted(data), "JSON"))
    if auth:
        top["response"]["auth"] = _struct(auth)
    if namespace:
        top.setdefault("request", {})["namespace"] = _struct({"path": "VARCHAR"})
    return ", ".join([*flat, *(f"{name}: '{_struct(members)}'" for name, members in top.items())])


def _struct(members: dict[str, str]) -> str:
    return "STRUCT(" + ", ".join(f'"{name}" {kind}' for name, kind in members.items()) + ")"
