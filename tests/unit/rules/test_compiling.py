"""Compiling Sigma: what each construct means for an entry, and what is refused, by file and name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.rules.sigma import compiled, entry, holds, matches, sigma
from vaultwatch.errors import RuleError
from vaultwatch.rules.compiling import compile_directories, compile_pack
from vaultwatch.rules.conditions import Text
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import CompiledRule, decode_pack

PATH = "selection:\n  request.path{}\ncondition: selection"


def at(path: Any) -> dict[str, Any]:
    return entry(request={"path": path})


class TestModifiers:
    @pytest.mark.parametrize(
        ("item", "yes", "no"),
        [
            (": sys/Seal", ["sys/seal", "SYS/SEAL"], ["sys/seal/", "a/sys/seal", "", None]),
            ("|contains: SEAL", ["sys/seal", "seal", "xSealx"], ["sea"]),
            ("|startswith: sys/", ["sys/", "SYS/x"], ["/sys/"]),
            ("|endswith: /SEAL", ["a/seal"], ["a/seal/"]),
            ("|contains|all: [a, b]", ["ab", "bxA"], ["a", "b"]),
            (": [a, b]", ["a", "B"], ["ab"]),
            ("|cased: aB", ["aB"], ["ab", "AB"]),
            ("|contains|cased: aB", ["xaBx"], ["xabx"]),
            ("|startswith|cased: aB", ["aBx"], ["abx"]),
            ("|endswith|cased: aB", ["xaB"], ["xab"]),
            (": a*c", ["ac", "abbc", "A\nC"], ["acd", "xac"]),
            (": a?c", ["abc", "a/c", "a\nc"], ["ac", "abbc"]),
            (": 'a*b?c*'", ["abxc", "aXbXcX"], ["abc"]),
            (r": 'a\*b'", ["a*b"], ["axb"]),
            (r": 'a\?*'", ["a?x", "a?"], ["abx"]),
            (r": 'a\\*'", ["a\\", "a\\x"], ["ax"]),
            (r": 'a\b'", ["a\\b"], ["ab"]),
            (": a.c[d", ["a.c[d"], ["abc[d"]),
            ("|cased: 'aB*c?'", ["aBxcd"], ["abxcd", "aBxc"]),
            (": '*'", ["a"], ["", None]),
            (": '?'", ["a"], ["", "ab"]),
            ("|re: b.d", ["abcde"], ["bd", "ABCDE", "b\nd"]),
            ("|re|i: b.d", ["ABCDE"], ["bd"]),
            ("|re|s: b.d", ["b\nd"], ["B\nd"]),
            ("|re|m: ^b$", ["a\nb"], ["a\nbc"]),
            ("|re|i|m|s: ^b.d$", ["a\nB\nD"], ["a"]),
            ("|exists: true", ["a"], ["", None]),
            ("|exists: false", ["", None], ["a"]),
            (": null", ["", None], ["a", "null"]),
            (": ''", ["", None], ["a"]),
            (": [null, a]", ["a", None], ["b"]),
            ("|neq: a", ["b", None], ["a", "A"]),
            ("|neq: [a, b]", ["c"], ["a", "b"]),
            ("|contains|neq: a", ["b"], ["xax"]),
        ],
    )
    def test_on_texts(self, item: str, yes: list[Any], no: list[Any]) -> None:
        for path in yes:
            assert matches(PATH.format(item), at(path)), path
        for path in no:
            assert not matches(PATH.format(item), at(path)), path

    @pytest.mark.parametrize(
        ("item", "yes", "no"),
        [
            (": 5", [5, 5.0, "5"], [6, "x", "05", "5.0", "+5", " 5", "5e0", True, None, {}, [6]]),
            (": 05", ["05"], [5, "5"]),
            (": 1.5", [1.5, "1.5", "1.50", "15e-1"], [1, 2, "1.5x", "1_5"]),
            (": 5.0", [5, 5.0, "5", "5.0"], ["05.1", "five"]),
            (": 9007199254740993", [9007199254740993, "9007199254740993"], [9007199254740992, 9007199254740992.0]),
            ("|gt: 9007199254740992", [9007199254740993, "9007199254740993"], [9007199254740992, "9007199254740992"]),
            ("|lt: -9007199254740992", [-9007199254740993], [-9007199254740992]),
            ("|lte: 100000000000000000000000001", [10**26 + 1], [10**26 + 2]),
            (": '5'", [5, "5"], [5.5, 55]),
            (": 1", [1], [True]),
            ("|lt: 5", [4, "4.9", -1], [5, "a", None, False]),
            ("|lte: 5", [5], [5.1]),
            ("|gt: 5", [6, 10**30], [5]),
            ("|gte: 5", [5], [4.9]),
            ("|gte|neq: 5", [4, None], [5, 6]),
            (": [1, 2]", [1, 2, [7, 2]], [3, [3]]),
        ],
    )
    def test_on_numbers(self, item: str, yes: list[Any], no: list[Any]) -> None:
        detection = f"selection:\n  request.remote_port{item}\ncondition: selection"
        for port in yes:
            assert matches(detection, entry(request={"remote_port": port})), port
        for port in no:
            assert not matches(detection, entry(request={"remote_port": port})), port

    @pytest.mark.parametrize(
        ("wanted", "yes", "no"), [("true", [True, "True"], [False, 1, None]), ("false", [False], [0, ""])]
    )
    def test_on_booleans(self, wanted: str, yes: list[Any], no: list[Any]) -> None:
        detection = f"s: {{auth.policy_results.allowed: {wanted}}}\ncondition: s"
        for value in yes:
            assert matches(detection, entry(auth={"policy_results": {"allowed": value}})), value
        for value in no:
            assert not matches(detection, entry(auth={"policy_results": {"allowed": value}})), value

    @pytest.mark.parametrize(
        ("item", "policies", "expected"),
        [
            (": root", ["default", "Root"], True),
            (": root", [["a", ["root"]]], True),
            (": root", "root", True),
            (": root", [], False),
            (": root", [None, "", {}, 5], False),
            ("|all: [a, b]", ["b", "c", "a"], True),
            ("|all: [a, b]", ["a"], False),
            ("|contains|all: [a, b]", ["xa", "bx"], True),
            ("|exists: true", [], False),
            ("|exists: true", [None, ""], False),
            ("|exists: false", [], True),
            (": null", [None], True),
            (": null", ["a"], False),
            ("|re: ^r..t$", ["x", "root"], True),
            ("|neq: root", ["root", "a"], False),
        ],
    )
    def test_a_list_matches_if_any_element_does(self, item: str, policies: Any, expected: bool) -> None:
        assert matches(f"s:\n  auth.policies{item}\ncondition: s", entry(auth={"policies": policies})) is expected

    @pytest.mark.parametrize("value", [None, "", [], [None], {}, False])
    def test_in_the_data_of_a_request_what_is_given_exists_whatever_it_is(self, value: Any) -> None:
        """OpenBao takes `"policies": null` and `[]` for none, where there may have been some."""
        given = entry(request={"data": {"policies": value}})
        not_given = [entry(request={"data": {"name": "a"}}), entry(request={"data": None}), entry(request={})]
        detection = "s: {{request.data.policies|exists: {}}}\ncondition: s"
        assert matches(detection.format("true"), given)
        assert not matches(detection.format("false"), given)
        for one in not_given:
            assert not matches(detection.format("true"), one)
            assert matches(detection.format("false"), one)

    @pytest.mark.parametrize(("value", "expected"), [(None, True), ("", True), ([], True), ({}, False), ("a", False)])
    def test_in_the_data_of_a_request_null_asks_for_a_value(self, value: Any, expected: bool) -> None:
        given = entry(request={"data": {"policies": value}})
        assert matches("s: {request.data.policies: null}\ncondition: s", given) is expected

    def test_lists_of_objects_on_the_path(self) -> None:
        detection = "s: {auth.policy_results.granting_policies.name: admin}\ncondition: s"
        blank = {"type": ""}
        granting = [blank, {"name": "default", "type": "acl"}, [{"name": "admin"}]]
        assert matches(detection, entry(auth={"policy_results": {"granting_policies": granting}}))
        others: list[Any] = [[blank, blank], None, "admin", [{"name": None}], {}]
        for other in others:
            assert not matches(detection, entry(auth={"policy_results": {"granting_policies": other}}))

    def test_networks(self) -> None:
        detection = "s: {request.remote_address|cidr: [10.0.0.0/8, '2001:db8::/32']}\ncondition: s"
        for address in ("10.1.2.3", "2001:DB8::1"):
            assert matches(detection, entry(request={"remote_address": address}))
        for other in ("11.0.0.1", "2001:db9::1", "", None, "10.0.0", "somewhere", 5, "10.1.2.3:80"):
            assert not matches(detection, entry(request={"remote_address": other}))

    @pytest.mark.parametrize(
        ("item", "yes", "no"),
        [
            ("fieldref", "KV/", "kv/a"),
            ("fieldref|startswith", "kv/a", "a/kv/"),
            ("fieldref|endswith", "a/kv/", "kv/a"),
            ("fieldref|contains", "a/kv/a", "a/kv"),
        ],
    )
    def test_other_fields(self, item: str, yes: str, no: str) -> None:
        detection = f"s: {{request.path|{item}: request.mount_point}}\ncondition: s"
        assert matches(detection, entry(request={"path": yes, "mount_point": "kv/"}))
        assert not matches(detection, entry(request={"path": no, "mount_point": "kv/"}))
        assert not matches(detection, entry(request={"path": yes}))
        assert not matches(detection, entry(request={"path": "", "mount_point": ""}))

    @pytest.mark.parametrize(
        ("item", "expected"),
        [
            ("minute: 29", True),
            ("minute: 30", False),
            ("hour: 23", True),
            ("day: 20", True),
            ("week: 47", True),
            ("month: 11", True),
            ("year: 2026", True),
            ("hour|gte: 23", True),
            ("hour|gt: 23", False),
            ("hour|lt: 23", False),
            ("day|lte: 20", True),
            ("year|neq: 2026", False),
            ("week: [1, 47]", True),
        ],
    )
    def test_parts_of_a_time_count_in_utc(self, item: str, expected: bool) -> None:
        when = entry(time="2026-11-21T07:29:41.123456789+08:00")
        assert matches(f"s: {{time|{item}}}\ncondition: s", when) is expected
        for time in (None, "", "yesterday", 5):
            assert matches("s: {time|hour: 0}\ncondition: s", entry(time=time)) is False


class TestConditions:
    TWO = "a1: {request.path: a}\na2: {request.operation: read}\n_a3: {request.path: c}\ncondition: "

    @pytest.mark.parametrize(
        ("condition", "expected"),
        [
            ("1 of a*", [True, True, True, False]),
            ("all of a*", [True, False, False, False]),
            ("1 of them", [True, True, True, False]),
            ("all of them", [True, False, False, False]),
            ("any of them", [True, True, True, False]),
            ("a1 and not a2", [False, True, False, False]),
            ("not a1", [False, False, True, True]),
            ("not (a1 or a2)", [False, False, False, True]),
            ("not 1 of a*", [False, False, False, True]),
            ("a1 or a2 and not a1", [True, True, True, False]),
            ("[a1 and a2, not a1 and not a2]", [True, False, False, True]),
        ],
    )
    def test_truth_table(self, condition: str, expected: list[bool]) -> None:
        requests = [{"path": path, "operation": op} for path in ("a", "b") for op in ("read", "list")]
        assert [matches(self.TWO + condition, entry(request=request)) for request in requests] == expected

    def test_maps_in_a_list_are_alternatives_and_their_items_are_not(self) -> None:
        detection = "s:\n  - request.path: a\n    request.operation: read\n  - request.path: b\ncondition: s"
        assert matches(detection, entry(request={"path": "a", "operation": "read"}))
        assert matches(detection, entry(request={"path": "b"}))
        assert not matches(detection, entry(request={"path": "a", "operation": "list"}))

    @pytest.mark.parametrize(
        ("keywords", "yes", "no"),
        [
            ("[SEAL]", ["xsealx"], ["sea"]),
            ("['se*l']", ["x/seal/x"], ["sel/", ""][1:]),
            ("[x, seal]", ["seal"], ["sea"]),
            ("[4711]", ["a4711"], ["471"]),
            ("{'|all': [ab, cd]}", ["cd/ab"], ["ab"]),
            ("{'|re': 's.al$'}", ["a/seal"], ["seals"]),
            ("{'|cased': Seal}", ["aSeala"], ["seal"]),
        ],
    )
    def test_keywords_search_every_text(self, keywords: str, yes: list[str], no: list[str]) -> None:
        for text in yes:
            assert matches(f"k: {keywords}\ncondition: k", at(text))
            assert matches(f"k: {keywords}\ncondition: k", entry(response={"data": {"x": [{"y": text}]}}))
        for text in no:
            assert not matches(f"k: {keywords}\ncondition: k", at(text))


class TestPlaceholders:
    def test_each_value_is_an_alternative(self) -> None:
        for path, expected in (("p/one/q", True), ("p/TWO/q", True), ("p/%x%/q", False)):
            assert matches(PATH.format("|expand: 'p/%x%/q'"), at(path), x=["one", "two"]) is expected

    @pytest.mark.parametrize("value", ["a*b", "a?b", "a\\b", "a\\*b", "a.b", "a+b", "[a]", "(a", "a|b", "^a$", "%x%"])
    @pytest.mark.parametrize(
        "how", ["|expand: '%x%'", "|expand|contains: '%x%'", "|expand: 'p-%x%-s'", "|expand|re: '%x%'"]
    )
    def test_every_character_of_a_value_is_literal(self, value: str, how: str) -> None:
        assert matches(PATH.format(how), at(f"p-{value}-s" if "p-" in how else value), x=[value])
        for other in ("axb", "aab", "ab", "a", "b", "", "a\\xb"):
            assert other == value or not matches(
                PATH.format(how), at(f"p-{other}-s" if "p-" in how else other), x=[value]
            )

    def test_two_placeholders_give_every_pair_of_values(self) -> None:
        for path in ("a-1", "a-2", "b-1", "b-2"):
            assert matches(PATH.format("|expand: '%x%-%y%'"), at(path), x=["a", "b"], y=[1, 2])
        assert matches(PATH.format("|expand: '%x%-%x%'"), at("a-a"), x=["a", "b"])
        assert not matches(PATH.format("|expand: '%x%-%x%'"), at("a-b"), x=["a", "b"])

    def test_networks_numbers_and_times(self) -> None:
        here = entry(request={"remote_address": "10.1.1.1", "remote_port": 7})
        assert matches("s: {request.remote_address|cidr|expand: '%x%'}\ncondition: s", here, x=["10.0.0.0/8"])
        assert matches("s: {request.remote_port|expand|lt: '%x%'}\ncondition: s", here, x=[8])
        assert matches("s: {time|hour|expand: '%x%'}\ncondition: s", here, x=[7])

    @pytest.mark.parametrize(
        "item",
        ["", "|neq", "|contains", "|contains|neq", "|re", "|cidr", "|exists", "|all", "|contains|all", "|cased", "|lt"],
    )
    def test_an_empty_one_makes_its_item_never_true(self, item: str) -> None:
        for fields in (at("a"), at(""), at(None), entry(error="x")):
            assert not matches(PATH.format(f"|expand{item}: '%x%'"), fields, x=[])

    def test_an_empty_one_does_not_affect_other_values(self) -> None:
        assert matches(PATH.format("|expand: ['%x%', a]"), at("a"), x=[])
        assert not matches(PATH.format("|expand|contains|all: ['%x%', a]"), at("a"), x=[])
        assert not matches("s: {request.path: a, request.operation|expand: '%x%'}\ncondition: s", at("a"), x=[])

    def test_an_empty_list_of_exceptions_excepts_nobody(self) -> None:
        detection = "s: {request.path: a}\nknown: {auth.display_name|expand: '%x%'}\ncondition: s and not known"
        assert matches(detection, entry(auth={"display_name": "me"}), x=[])
        assert not matches(detection, entry(auth={"display_name": "me"}), x=["me"])

    def test_a_later_directory_overrides_a_name(self, tmp_path: Path) -> None:
        for name, values in (("one", ["a"]), ("two", ["b"])):
            (tmp_path / name).mkdir()
            (tmp_path / name / "placeholders.yml").write_text(json.dumps({"x": values}))
        (tmp_path / "one" / "rule.yml").write_text(sigma(PATH.format("|expand: '%x%'")))
        (rule,) = compile_directories([tmp_path / "one", tmp_path / "two"])
        assert rule.condition == Text("request.path", "eq", "b")


FILTER = """
title: Filter
logsource: {product: vault, service: audit}
filter:
  rules: RULES
  known: {auth.display_name: robot}
  condition: not known
"""


class TestFilters:
    @pytest.mark.parametrize("rules", ["any", "[rule]", "[11111111-1111-4111-8111-111111111111]"])
    def test_a_filter_narrows_the_rules_that_it_names(self, rules: str) -> None:
        rule = sigma(PATH.format(": [a, b]"), more="id: 11111111-1111-4111-8111-111111111111\n")
        condition = compiled(rule, FILTER.replace("RULES", rules))
        assert holds(condition, entry(auth={"display_name": "someone"}))
        assert not holds(condition, entry(auth={"display_name": "robot"}))

    def test_rules_that_it_does_not_name_are_unchanged(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            (tmp_path / f"{name}.yml").write_text(sigma(PATH.format(": a"), name=name))
        before = {rule.name: rule.condition for rule in compile_directories([tmp_path])}
        (tmp_path / "filter.yml").write_text(FILTER.replace("RULES", "[one]"))
        after = {rule.name: rule.condition for rule in compile_directories([tmp_path])}
        assert after["two"] == before["two"]
        assert after["one"] != before["one"]

    def test_every_condition_of_the_rules_is_narrowed(self) -> None:
        for condition in ("[s1, s2]", "1 of them", "any of them"):
            rule = sigma(f"s1: {{request.path: a}}\ns2: {{request.operation: read}}\ncondition: {condition}")
            condition_ = compiled(rule, FILTER.replace("RULES", "any"))
            for request in ({"path": "a"}, {"path": "b", "operation": "read"}):
                assert holds(condition_, entry(request=request))
                assert not holds(condition_, entry(request=request, auth={"display_name": "robot"}))

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            (FILTER.replace("RULES", "[other]"), "unknown rule other"),
            (FILTER.replace("RULES", "[rule, other]"), "unknown rule other"),
            (FILTER.replace("RULES", "[rule]").replace("audit", "server"), "rule rule has another logsource"),
            (FILTER.replace("RULES", "any").replace("audit", "adit"), "no rule has its logsource"),
            (FILTER.replace("RULES", "[rule]").replace("display_name", "name"), "unknown field auth.name"),
            (FILTER.replace("RULES", "[rule]").replace("auth.display_name: robot", "outcome: failed"), "negates"),
            (FILTER.replace("RULES", "[rule]").replace("not known", "not unknown"), "unknown"),
            (FILTER.replace("RULES", "5"), "must be 'any'"),
            (FILTER.replace("RULES", "[rule]") + "bogus: 1\n", "unknown key bogus"),
            (FILTER.replace("RULES", "[rule]") + "stats: 1\n", "unknown key stats; did you mean `status`"),
            (FILTER.replace("RULES", "[rules]"), "unknown rule rules; did you mean `rule`"),
            (FILTER.replace("RULES", "any").replace("robot", "[]"), "an empty list"),
            (FILTER.replace("RULES", "any").replace("display_name:", "display_name|base64:"), "modifier base64"),
            (
                FILTER.replace("RULES", "any")
                .replace("display_name:", "display_name|expand:")
                .replace("robot", "'%no%'"),
                "%no%",
            ),
            (
                FILTER.replace("RULES", "any").replace("not known", "known"),
                "no `not`: .*write `condition: not SELECTION`",
            ),
            (FILTER.replace("RULES", "any").replace("not known", "1 of them"), "no `not`"),
            (FILTER.replace("RULES", "any").replace("known", "_known"), "selection _known: in a filter, names"),
            (FILTER.replace("RULES", "any").replace("known", "2nd"), "selection 2nd: in a filter, names"),
            ("title: Filter\nlogsource: {product: vault, service: audit}\nfilter: text\n", "dictionary"),
            ("logsource: {product: vault}\nfilter: [1]\n", "more1.yml"),
        ],
    )
    def test_a_broken_one_is_refused_and_named(self, text: str, why: str) -> None:
        with pytest.raises(RuleError, match=why) as error:
            compiled(sigma(PATH.format(": a")), text)
        assert "more1.yml" in str(error.value)


def test_a_name_that_looks_like_another_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rul\u0435.yml").write_text(sigma(PATH.format(": a"), name="rul\u0435"))
    with pytest.raises(RuleError, match="letters beyond ASCII"):
        compile_directories([tmp_path])


def test_a_rule_lists_the_placeholders_of_itself_and_its_filters(tmp_path: Path) -> None:
    detection = (
        "s: {request.path|expand: ['a%one%', 5, '%two%'], request.id: '%three%'}\nt: ['%three%']\ncondition: s or t"
    )
    (tmp_path / "rule.yml").write_text(sigma(detection))
    text = FILTER.replace("RULES", "any").replace("display_name: robot", "display_name|expand: '%robots%'")
    (tmp_path / "filter.yml").write_text(text)
    values = {"one": ["x", 5], "two": [], "three": ["no"], "four": ["no"], "robots": ["r2", True]}
    (tmp_path / "placeholders.yml").write_text(json.dumps(values))
    (rule,) = decode_pack(compile_pack([tmp_path]))
    assert rule.compiled.placeholders == {"one": ["x", 5], "robots": ["r2", True], "two": []}


BOMB = "  a: &a [x,x,x,x,x,x,x,x]\n" + "".join(
    f"  {name}: &{name} [{','.join([f'*{before}'] * 8)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
WITHOUT_DETECTION = sigma(PATH.format(": a")).partition("detection")[0]
REFUSED = [
    ("", "empty"),
    ("# only a comment\n", "empty"),
    ("---\n---\n", "empty"),
    ("- a\n", "not a mapping"),
    ("text", "not a mapping"),
    ("a: [", "not YAML"),
    ("a: \x01", "not YAML"),
    (sigma(PATH.format(": a")) + "title: again\n", "the key title is there twice"),
    (sigma(PATH.format(": a\n  request.path: b")), "the key request.path is there twice"),
    (sigma(PATH.format(": a"), more="date: 2026-13-45\n"), "date '2026-13-45' is invalid"),
    (sigma(PATH.format(": a"), more="bogus: 1\n"), "unknown key bogus"),
    (sigma(PATH.format(": a"), more="1: 1\n"), "unknown key 1"),
    (sigma(PATH.format(": a"), more="descripton: x\n"), r"unknown key descripton; did you mean `description`\?$"),
    (sigma(PATH.format(": a"), more="zzz: x\n"), "unknown key zzz$"),
    (sigma(PATH.format(": a"), name="other"), "name is other, but the file is rule.yml: they must be the same"),
    (sigma(PATH.format(": a")).replace("title: ", "title: \u202e"), "title has characters that are not visible"),
    (sigma(PATH.format(": a")).replace("title: ", 'title: "a\\nb" #'), "title has .* more than one line"),
    (sigma(PATH.format(": a")).replace("title: Title", "title: Tit\u04cfe"), r"several scripts \(cyrillic and latin\)"),
    (sigma(PATH.format(": a"), more="denied: {title: \u0410udit}\n"), r"denied: the title has a word with letters"),
    (sigma(PATH.format(": a"), name="[rule]"), "name is .*, but the file is rule.yml"),
    (sigma(PATH.format(": a")) + "---\n" + sigma(PATH.format(": b")), "second rule named rule"),
    (sigma(PATH.format(": a"), more="status: deprecated\n"), "unsupported status deprecated"),
    (sigma(PATH.format(": a"), more="status: [test]\n"), "unsupported status"),
    (sigma(PATH.format(": a"), more="status: draft\n"), "status draft: not one of stable, test, experimental"),
    (sigma(PATH.format(": a")).replace("level: low", "level: urgent"), "unknown level urgent"),
    (sigma(PATH.format(": a"), more="falsepositives: [a: b]\n"), "falsepositives: a list of texts"),
    (sigma(PATH.format(": a"), more="references: [[x]]\n"), "references: a list of texts"),
    (sigma(PATH.format(": a")).replace("level: low", "level: x"), "x: not one of informational, low, medium, high, cr"),
    (sigma(PATH.format(": a")).replace("level: low", "level: [low]"), "unknown level"),
    (sigma(PATH.format(": a")).replace("level: low\n", ""), "no level"),
    (sigma(PATH.format(": a")).replace("title: Title\n", ""), "no title"),
    (sigma(PATH.format(": a")).replace("title: Title", "title: [a]"), "title"),
    ("name: rule\nlogsource: {product: vault, service: audit}\n", "no title, level, detection$"),
    ("description: x\n", "no title, name, level, logsource, detection$"),
    (sigma(PATH.format(": a"), service="policy"), "logsource"),
    (sigma(PATH.format(": a")).replace("product: vault", "product: windows"), "logsource"),
    (sigma(PATH.format(": a")).replace("product: vault", "product: vault, category: x"), "logsource"),
    (sigma(PATH.format(": a")).replace("{product: vault, service: audit}", "vault"), "logsource"),
    (sigma(PATH.format(": a"), more="tags: [attack]\n"), "tag"),
    (sigma(PATH.format(": a"), more="id: 5\n"), "rule.yml"),
    (sigma(PATH.format("|foo: a")), "foo"),
    *((sigma(PATH.format(f"|{name}: a")), f"modifier {name}") for name in ("base64", "base64offset", "windash")),
    *((sigma(PATH.format(f"|{name}|base64: a")), "modifier") for name in ("wide", "utf16", "utf16le", "utf16be")),
    (sigma(PATH.format("|re: '(?=a)'")), r"'\(\?=a\)' is not RE2's"),
    (sigma(PATH.format("|re: '(a'")), "is not RE2's"),
    (sigma(PATH.format(r"|re: '(a)\1'")), "is not RE2's"),
    (sigma(PATH.format("|cidr: 10.0.0.0/33")), "CIDR"),
    (sigma(PATH.format("|lt: abc")), "rule.yml"),
    (sigma(PATH.format("|exists: perhaps")), "rule.yml"),
    (sigma(PATH.format(": {a: b}")), "rule.yml"),
    (sigma(PATH.format(": [a, [b]]")), "rule.yml"),
    (sigma(PATH.format(": []")), "an empty list"),
    (sigma(PATH.format("|expand: '%nobody%'")), "unknown placeholder %nobody%"),
    (sigma("s: {request.pth: a}\ncondition: s"), "field request.pth: .*; did you mean `request.path`"),
    (sigma("s: {display_name: a}\ncondition: s"), "field display_name: .*; did you mean `auth.display_name`"),
    (sigma("s: {metadata.role: a}\ncondition: s"), "field metadata.role: .*; did you mean `auth.metadata`"),
    (sigma("s: {zzz: a}\ncondition: s"), "unknown field zzz: no audit record has it$"),
    (sigma("s: {Request.Path: a}\ncondition: s"), "field Request.Path: .*; did you mean `request.path`"),
    (sigma("s: {mesage: a}\ncondition: s", service="server"), "field mesage: .*; did you mean `message`"),
    (sigma("s: {5: a}\ncondition: s"), "rule.yml"),
    (sigma("s: {=: a}\ncondition: s"), "unknown field =: no audit record has it$"),
    (sigma("t: &t {request.path: a}\ns: {<<: *t}\ncondition: s"), "line 7: unsupported merge key <<: write its keys"),
    (sigma("s: {? [a] : b}\ncondition: s"), "line 6: a key is a list or a mapping"),
    (sigma("s: {? {a: b} : c}\ncondition: s"), "line 6: a key is a list or a mapping"),
    (sigma("s: {request.remote_port: 1e999}\ncondition: s"), "line 6: not a decimal number in range: 1e999"),
    (sigma("s: {request.remote_port: " + "9" * 700 + "}\ncondition: s"), "line 6: not a decimal integer"),
    (sigma("s: {request.path: !!binary aGk=}\ncondition: s"), "rule.yml"),
    (sigma("_s: {request.path: a}\ncondition: 1 of them"), "names of all selections begin with _, .* leaves out"),
    (sigma("s: {local.minute: 1}\ncondition: s"), "unknown field local.minute"),
    (sigma("s: {message: a}\ncondition: s"), "unknown field message: no audit record"),
    (sigma("s: {request.path: a}\ncondition: s", service="server"), "unknown field request.path: no server record"),
    (sigma("s: {request.path|fieldref: nothing}\ncondition: s"), "unknown field nothing"),
    (sigma("s: {time|hour: 24}\ncondition: s"), r"time\|hour: 24 is outside 0 to 23"),
    (sigma("s: {time|minute|lt: 60}\ncondition: s"), "60 is outside"),
    (sigma("s: {time|day: 0}\ncondition: s"), "0 is outside"),
    (sigma("s: {time|week: 54}\ncondition: s"), "54 is outside"),
    (sigma("s: {time|hour: 7.5}\ncondition: s"), "7.5 is .*not a whole number"),
    (sigma("s: {time|month: 13}\ncondition: s"), "13 is outside"),
    (sigma("s: {request.path: a}\ncondition: t"), "rule.yml"),
    (sigma("s: {request.path: a}\ncondition: s and"), "rule.yml"),
    (sigma("s: {request.path: a}\ncondition: 5"), "rule.yml"),
    (sigma("s: {request.path: a}\ncondition: [s, 5]"), "rule.yml"),
    (sigma("s: {request.path: a}\ncondition: 1 of x*"), "rule.yml"),
    (sigma("s: {request.path: a}\ncondition: s | count() > 5"), "rule.yml"),
    (sigma("s: {request.path: a}\ncondition: " + "not " * 3_000 + "s"), "rule.yml"),
    (sigma("s: {request.path: a}\ntimeframe: 5m\ncondition: s"), "timeframe"),
    (sigma("s: {}\ncondition: s"), "rule.yml"),
    (sigma("s: ''\ncondition: s"), "empty keyword"),
    (sigma("condition: s"), "rule.yml"),
    (sigma("s: {request.path: a}"), "rule.yml"),
    (WITHOUT_DETECTION + "detection: text\n", "rule.yml"),
    (WITHOUT_DETECTION + "detection: [1]\n", "rule.yml"),
    (WITHOUT_DETECTION + f"detection:\n{BOMB}  s: {{request.path: *i}}\n  condition: s\n", "values"),
    (sigma("s: {request.path: &a [*a]}\ncondition: s"), "contains itself"),
]  # fmt: skip


class TestRefusals:
    @pytest.mark.parametrize(
        ("text", "why"), REFUSED, ids=[f"{number}-{why}" for number, (_, why) in enumerate(REFUSED)]
    )
    def test_names_the_file_and_the_construct_in_one_line(
        self, text: str, why: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "rule.yml").write_text(text)
        with pytest.raises(RuleError, match=why) as raised:
            compile_directories([tmp_path])
        assert "rule.yml" in str(raised.value)
        assert "\n" not in str(raised.value)
        assert len(str(raised.value)) < 500
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize(
        "detection",
        [
            "s: {request.path: a}\nf: {error|exists: true}\ncondition: s and not f",
            "s: {request.path: a, error: null}\ncondition: s",
            "s: {request.path: a, error|exists: false}\ncondition: s",
            "s: {request.path: a, outcome|neq: failed}\ncondition: s",
            "s: {request.path: a}\nf: {outcome: failed}\ncondition: s and not f",
            "s: {request.path: a, response.data|neq: a}\ncondition: s",
            "s: {request.path: a}\nt: {type: response}\nf: {error|exists: true}\ncondition: s and not (t and f)",
            "s: {request.path: a}\nt: {type: response}\nf: {error|exists: true}\ncondition: (t and s) or not f",
            "s: {type: [request, response]}\nf: {error|exists: true}\ncondition: s and not f",
            "s: {type|contains: response}\nf: {error|exists: true}\ncondition: not s and not f",
        ],
    )
    def test_a_negated_failure_needs_the_response(self, detection: str) -> None:
        with pytest.raises(RuleError, match="without selecting type: response"):
            compiled(detection)

    @pytest.mark.parametrize(
        "detection",
        [
            "s: {request.path: a, type: response, error: null}\ncondition: s",
            "s: {type|endswith: response}\nf: {error|exists: true}\ncondition: s and not f",
            "s: {type: [response, kmip-response]}\nf: {error|exists: true}\ncondition: s and not f",
            "s: {request.path: a, outcome: failed}\ncondition: s",
            "s: {request.path: a}\nf: {error: null}\ncondition: s and not f",
            "s: {outcome: succeeded}\ncondition: s",
        ],
    )
    def test_a_negated_failure_with_the_response_is_accepted(self, detection: str) -> None:
        compiled(detection)

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("- a\n", "not a mapping"),
            ("x: a\n", "x: not a list"),
            ("x: [{a: b}]\n", "x: not a list"),
            ("1: [a]\n", "not a list"),
            ("x: [", "not YAML"),
            ("x: [a]\nx: [b]\n", "line 2: the key x is there twice"),
        ],
    )
    def test_broken_placeholders(self, text: str, why: str, tmp_path: Path) -> None:
        (tmp_path / "placeholders.yml").write_text(text)
        with pytest.raises(RuleError, match=f"placeholders.yml.*{why}"):
            compile_directories([tmp_path])

    def test_a_second_rule_of_one_name_in_another_directory(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "rule.yml").write_text(sigma(PATH.format(": a")))
        with pytest.raises(RuleError, match=r"two/rule.yml: a second rule named rule; the first is one/rule.yml"):
            compile_directories([tmp_path / "one", tmp_path / "two"])

    def test_files_that_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(RuleError, match="no such directory"):
            compile_directories([tmp_path / "nowhere"])
        (tmp_path / "rule.yml").symlink_to("nowhere")
        with pytest.raises(RuleError, match="No such file"):
            compile_directories([tmp_path])
        (tmp_path / "rule.yml").unlink()
        (tmp_path / "rule.yml").write_bytes(b"title: \xff\n")
        with pytest.raises(RuleError, match="not YAML"):
            compile_directories([tmp_path])


class TestFacts:
    def test_the_facts_of_a_rule_are_kept(self, tmp_path: Path) -> None:
        more = "status: experimental\ndescription: |\n  Two\n  lines.\nrunbook: |\n  Do a.\n  Do b.\n"
        more += "tags: [attack.t1098]\nfalsepositives: [None]\nreferences: ['https://example.org']\n"
        (tmp_path / "rule.yaml").write_text(sigma(PATH.format(": a"), more=more))
        assert compile_directories([tmp_path]) == [
            CompiledRule(
                name="rule", title="Title", level=Level.LOW, service="audit", staged=True, description="Two lines.",
                condition=Text("request.path", "eq", "a", False), runbook="Do a.\nDo b.", tags=("attack.t1098",),
                falsepositives=("None",), references=("https://example.org",),
            )
        ]  # fmt: skip

    def test_the_pack_is_the_same_bytes_each_time_and_reads_back(self, tmp_path: Path) -> None:
        for name in ("two", "one"):
            (tmp_path / f"{name}.yml").write_text(sigma(PATH.format(": a"), name=name))
        (tmp_path / "filter.yml").write_text(FILTER.replace("RULES", "any"))
        pack = compile_pack([tmp_path])
        assert pack == compile_pack([tmp_path])
        assert [rule.compiled for rule in decode_pack(pack)] == compile_directories([tmp_path])
        assert [rule.name for rule in decode_pack(pack)] == ["one", "two"]

    @pytest.mark.parametrize("pack", [b"", b"{", b"[]", b'{"version":3}', b'{"version":3,"rules":[{}]}', b"\xff"])
    def test_anything_but_a_pack_is_refused(self, pack: bytes) -> None:
        with pytest.raises(RuleError, match="not a compiled rule pack"):
            decode_pack(pack)

    def test_a_pack_of_another_version_is_refused(self) -> None:
        with pytest.raises(RuleError, match="version 4"):
            decode_pack(b'{"version":4,"rules":[]}')
