"""The view of a record: fields as logged, and derived ones, which no record can forge."""

from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.support.work import growth
from vaultwatch.reading.records import AuditEntry, Origin, ServerMessage
from vaultwatch.reading.view import as_logged, audit_view, in_any_case, mount_of, server_view

ORIGIN = Origin("prod", "vault-a", "file")


def view(zone: Any = None, origin: Origin = ORIGIN, **members: Any) -> dict[str, Any]:
    fields = {"type": "request", "time": "2026-11-21T23:30:00.5Z", "request": {"path": "a"}, **members}
    return audit_view(AuditEntry(fields, origin), zone)


class TestMounts:
    @pytest.mark.parametrize(
        ("path", "point", "kind", "expected"),
        [
            ("team/kv/data/a", "team/kv/", "kv", ("kv", "data/a")),
            ("secret/data/a", "team-a/secret/", "kv", ("kv", "data/a")),
            ("secret/data/a", "org/team-a/secret/", "kv", ("kv", "data/a")),
            ("secret/data/a", "secret/", "generic", ("kv", "data/a")),
            ("sys/seal", "sys/", "ns_system", ("system", "seal")),
            ("sys/seal", "sys/", "system", ("system", "seal")),
            ("auth/corp/login/me", "auth/corp/", "ldap", ("ldap", "login/me")),
            ("secret/data/a", "", "", ("kv", "data/a")),
            ("kv/a", None, None, ("kv", "a")),
            ("pki/issue/web", "", "", ("pki", "issue/web")),
            ("sys/policies/acl/a", "", "", ("system", "policies/acl/a")),
            ("auth/userpass/login/me", "", "", ("userpass", "login/me")),
            ("auth/userpass", "", "", (None, None)),
            ("team/kv/data/a", "", "", (None, None)),
            ("secret", "", "", (None, None)),
            ("", "", "", (None, None)),
            ("secret/data/a", "secret/", "", ("kv", "data/a")),
            ("secret/data/a", "", "kv", ("kv", "data/a")),
            ("team/data/a", "", "kv", ("kv", "data/a")),
            ("pki-eu/issue/web", "", "pki", ("pki", "issue/web")),
            ("auth/corp/login/me", "", "ldap", ("ldap", "login/me")),
            ("team", "", "kv", ("kv", None)),
            ("other/a", "secret/", "kv", ("kv", None)),
            ("other/a", "secret", "kv", ("kv", None)),
            ("secret/", "secret/", "kv", ("kv", "")),
        ],
    )
    def test_type_and_path_below(self, path: str, point: str, kind: str, expected: tuple[str, str]) -> None:
        assert mount_of(path, point, kind) == expected

    @pytest.mark.parametrize("path", ["x", "ab/" * 100])
    def test_a_hostile_mount_point_takes_linear_time(self, path: str) -> None:
        assert growth(lambda parts: mount_of(path, "ab/" * parts + "/", "kv"), 2_000) < 3
        assert mount_of(path, "ab/" * 350_000 + "/", "kv") == ("kv", None)


class TestAudit:
    def test_nothing_in_a_record_forges_a_derived_field(self) -> None:
        forged: dict[str, Any] = {
            "cluster": "x",
            "node": "x",
            "lane": "x",
            "outcome": "x",
            "mount_type": "x",
            "mount_path": "x",
        }
        found = view(**forged, local={"hour": 99})
        assert found.items() >= {"cluster": "prod", "node": "vault-a", "lane": "file", "outcome": "unknown"}.items()
        assert (found["mount_type"], found["mount_path"], found["local"]) == (None, None, None)

    @pytest.mark.parametrize("value", [None, 5, [], {}, True])
    def test_members_of_another_type_count_as_absent(self, value: Any) -> None:
        found = view(request={"path": value, "mount_point": value, "mount_type": value}, auth=value, time=value)
        assert (found["mount_type"], found["mount_path"], found["local"]) == (None, None, None)

    @pytest.mark.parametrize(
        ("zone", "hour", "weekday"), [("UTC", 23, 6), ("Europe/Berlin", 0, 7), ("America/New_York", 18, 6)]
    )
    def test_local_time_is_that_of_the_zone(self, zone: str, hour: int, weekday: int) -> None:
        assert view(ZoneInfo(zone))["local"] == {"hour": hour, "weekday": weekday}

    def test_slashes_that_stand_together_in_a_path_are_one(self) -> None:
        logged = {"path": "sys///mounts//auth/x/tune", "data": {"A": 1}}
        assert view(request=logged)["request"] == {"path": "sys/mounts/auth/x/tune", "data": {"A": 1, "a": 1}}
        assert logged["path"] == "sys///mounts//auth/x/tune"

    def test_so_are_those_below_the_mount_and_both_are_as_logged_for_what_is_no_rule(self) -> None:
        logged = {"path": "team//kv/metadata//a", "mount_point": "team//kv/", "mount_type": "kv"}
        found = view(request=logged)
        assert (found["request"]["path"], found["mount_path"]) == ("team/kv/metadata/a", "metadata/a")
        shown = as_logged(found, AuditEntry({"type": "request", "request": logged}))
        assert (shown["request"], shown["mount_path"]) == (logged, "metadata//a")

    def test_without_a_zone_there_is_none(self) -> None:
        assert view()["local"] is None

    @pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
    def test_gos_zero_time_has_no_local_time(self, moment: str) -> None:
        assert view(ZoneInfo("America/New_York"), time=moment)["local"] is None


class TestOwnLogin:
    """Shapes are those of OpenBao 2.6.2 and, where the mount point has no namespace, of Vault Enterprise."""

    @staticmethod
    def of(name: str, path: str, point: str | None, namespace: str = "", username: Any = "alice") -> Any:
        auth = {"display_name": name, "metadata": {"username": username}}
        request = {"path": path, "mount_point": point, "namespace": {"path": namespace}}
        return view(auth=auth, request=request)["own_login"]

    @pytest.mark.parametrize(
        ("name", "path", "point", "namespace"),
        [
            ("userpass-alice", "auth/userpass/users/alice/password", "auth/userpass/", ""),
            ("userpass-alice", "auth/userpass/users/Alice/password", "auth/userpass/", ""),
            ("userpass-alice", "auth/userpass/users/alice", None, ""),
            ("corp-eu-alice", "auth/corp/eu/users/alice/password", "auth/corp/eu/", ""),
            ("team-b-auth-userpass-alice", "auth/userpass/users/alice/password", "team-b/auth/userpass/", "team-b/"),
            ("team-b-auth-userpass-alice", "auth/userpass/users/alice/password", "auth/userpass/", "team-b/"),
        ],
    )
    def test_a_user_who_is_named_in_the_path_of_the_call_is_the_caller(
        self, name: str, path: str, point: str | None, namespace: str
    ) -> None:
        assert self.of(name, path, point, namespace) is True

    @pytest.mark.parametrize(
        ("name", "path", "point", "namespace", "username"),
        [
            ("userpass-alice", "auth/userpass/users/bob/password", "auth/userpass/", "", "alice"),
            ("userpass-alice", "auth/userpass/users/malice/password", "auth/userpass/", "", "alice"),
            ("userpass-alice", "auth/corp/users/alice/password", "auth/corp/", "", "alice"),
            ("userpass-alice", "auth/userpass/users/alice/password", "team-b/auth/userpass/", "team-b/", "alice"),
            ("token-userpass-alice", "auth/userpass/users/alice/password", "auth/userpass/", "", "alice"),
            ("userpass-x-alice", "auth/userpass-x/users/alice/password", "auth/userpass-x/", "", "x-alice"),
            ("userpass-alice", "auth/userpass/users/alice/password", "auth/userpass/", "", None),
            ("userpass-alice", "auth/userpass/users/alice/password", "auth/userpass/", "", {"a": 1}),
            ("userpass-", "auth/userpass/users/", "auth/userpass/", "", ""),
            ("userpass-alice", "auth/userpass/login/alice", "auth/userpass/", "", "alice"),
        ],
    )
    def test_nobody_else_is(self, name: str, path: str, point: str, namespace: str, username: Any) -> None:
        assert self.of(name, path, point, namespace, username) is None

    @pytest.mark.parametrize("value", [None, [], "x", 1, {"metadata": [], "display_name": 1}])
    def test_members_of_another_type_count_as_absent(self, value: Any) -> None:
        request = {"path": "auth/userpass/users/alice/password", "namespace": value}
        assert view(auth=value, request=request, own_login=True)["own_login"] is None


class TestServer:
    def test_has_these_fields(self) -> None:
        line = b"2026-11-21T23:30:00Z [INFO]  core: sealed: a=b \xff"
        message = ServerMessage("2026-11-21T23:30:00Z", "info", "core", "sealed", {"a": "b"}, line, ORIGIN, "", "host")
        assert server_view(message, UTC) == {
            "outcome": "unknown",
            "time": "2026-11-21T23:30:00Z",
            "level": "info",
            "module": "core",
            "message": "sealed",
            "fields": {"a": "b"},
            "raw": line.decode("utf-8", "replace"),
            "cluster": "prod",
            "node": "vault-a",
            "lane": "file",
            "local": {"hour": 23, "weekday": 6},
        }

    def test_a_banner_has_the_time_and_host_of_its_header(self) -> None:
        found = server_view(
            ServerMessage("", "", "", "x", {}, b"x", header_time="2026-11-21T01:00:00Z", host="host"), UTC
        )
        assert (found["node"], found["time"], found["local"]["hour"]) == ("host", "2026-11-21T01:00:00Z", 1)


class TestDataOfARequest:
    def test_members_in_another_case_are_under_their_name_in_lower_case_too(self) -> None:
        data = {"Period": "1h", "CONFIG": {"A": 1}, "loc\u212aout": True, "several": [[{"B": 1}, 2], {"b": 2}]}
        several = [[{"B": 1, "b": 1}, 2], {"b": 2}]
        expected = {"period": "1h", "config": {"A": 1, "a": 1}, "lockout": True, "several": several}
        assert in_any_case(data).items() >= expected.items()
        assert in_any_case(data).keys() > data.keys()

    def test_the_exact_name_takes_precedence(self) -> None:
        assert in_any_case({"Id": 1, "id": 2, "ID": 3})["id"] == 2

    def test_what_is_in_lower_case_is_not_copied(self) -> None:
        data = {"a": {"b": {"C": 1}}, "d": [{"e": 1}, 2]}
        assert in_any_case(data) is data

    def test_the_entry_itself_stays_as_it_was_logged(self) -> None:
        entry = AuditEntry({"type": "request", "request": {"path": "a", "data": {"Id": 1}}}, ORIGIN)
        assert audit_view(entry)["request"]["data"] == {"Id": 1, "id": 1}
        assert entry.fields["request"]["data"] == {"Id": 1}
