"""A host keeps a certificate: its own key, renewed in time, replaced in one step, and loaded by its services."""

from __future__ import annotations

import itertools
import os
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.support.authority import VAULT_1, new_authority, new_key, now, pem
from vaultwatch.authority.caller import Caller
from vaultwatch.authority.certificates import certify_host, check_issued, is_p256
from vaultwatch.authority.names import Host
from vaultwatch.authority.request import Answer, Identity, Request
from vaultwatch.authority.signing import Authority
from vaultwatch.errors import CertificateError
from vaultwatch.hosts.certificate import HostCertificate, Place
from vaultwatch.hosts.key_pair import KeyPair, install_pair, read_pair

IDENTITY = Identity("", "20261128T000000Z", "token")


@dataclass
class World:
    """A host with two places, an authority that answers it, and a clock."""

    folder: Path
    authority: Authority = field(default_factory=new_authority)
    at: datetime = field(default_factory=now)
    asked: list[str] = field(default_factory=list)
    answer: Callable[[Answer], Answer] = lambda answer: answer

    def ask(self, csr: x509.CertificateSigningRequest, certificate: str) -> Answer:
        self.asked.append("report" if certificate else "new")
        caller = Caller("vaultwatch-vault-1", is_instance=True)
        request = Request(pem(csr), IDENTITY, certificate)
        _, made = self.authority.answer(request, lambda *_: caller, self.at)
        return self.answer(self.authority.answer_with(made))

    def reload(self) -> None:
        with (self.folder / "reloads").open("ab") as file:
            file.write((self.folder / "vault/host.pem").read_bytes() + b"\0")

    @property
    def loaded(self) -> list[bytes]:
        """The certificates that services loaded, one after the other."""
        return (self.folder / "reloads").read_bytes().split(b"\0")[:-1]

    def run(self) -> str:
        places = [Place(self.folder / "tls"), Place(self.folder / "vault")]
        return HostCertificate("vault-1", places, self.ask, self.reload).run(self.at)

    def pair(self, place: str = "tls") -> KeyPair:
        """Return what a service reads, which has to fit."""
        found = KeyPair(
            *((self.folder / place / name).read_bytes() for name in ("host.key", "host.pem", "authority.pem"))
        )
        certificate, authority = map(x509.load_pem_x509_certificate, (found.certificate, found.authority))
        assert load_pem_private_key(found.key, None).public_key() == certificate.public_key()
        check_issued(certificate, authority)
        return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_first_run_makes_a_key_and_gets_a_certificate_which_the_services_load(world: World) -> None:
    said = world.run()

    assert "a new certificate, because the former one does not exist; it is valid until 20" in said
    assert world.pair() == world.pair("vault")
    assert world.loaded == [world.pair().certificate]
    assert world.asked == ["new"]


def test_only_root_reads_the_key(world: World) -> None:
    before = os.umask(0o077)
    try:
        world.run()
    finally:
        os.umask(before)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (world.folder / "tls/current").iterdir()}
    assert modes == {"host.key": 0o600, "host.pem": 0o644, "authority.pem": 0o644}
    assert stat.S_IMODE((world.folder / "tls").stat().st_mode) == 0o755


def test_the_key_of_a_copy_is_readable_by_its_group(tmp_path: Path) -> None:
    import grp

    group = grp.getgrgid(os.getgid()).gr_name
    install_pair(tmp_path / "vault", KeyPair(b"key", b"certificate", b"authority"), group)

    key = tmp_path / "vault/host.key"
    assert (stat.S_IMODE(key.stat().st_mode), key.group()) == (0o640, group)


def test_a_certificate_with_more_than_ten_days_left_stays_and_is_reported(world: World) -> None:
    world.run()
    first = world.pair()
    world.at += timedelta(days=19, hours=23)

    assert "stays in use" in world.run()
    assert (world.pair(), world.asked, len(world.loaded)) == (first, ["new", "report"], 1)


def test_ten_days_before_its_end_it_is_renewed_with_a_new_key(world: World) -> None:
    world.run()
    first = world.pair()
    world.at += timedelta(days=20)

    assert "because the former one was about to end" in world.run()
    assert world.pair().key != first.key
    assert world.loaded == [first.certificate, world.pair().certificate]
    assert [path.name for path in (world.folder / "tls").iterdir() if path.name.startswith("pair-")] == [
        (world.folder / "tls/current").readlink().name
    ]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "host.key").write_bytes(b""), "cannot be read"),
        (lambda folder: (folder / "authority.pem").write_text(pem(new_authority().certificate)), "cannot be read"),
        (lambda folder: (folder / "host.pem").unlink(), "does not exist"),
    ],
)
def test_a_damaged_pair_is_replaced(world: World, damage: Callable[[Path], object], said: str) -> None:
    world.run()
    damage(world.folder / "tls/current")

    assert f"because the former one {said}" in world.run()
    assert world.pair() == world.pair("vault")


def answering(world: World, host: Host = VAULT_1, *, key: bool = True, days: int = 0) -> Callable[[Answer], Answer]:
    """Return what replaces the answers of the authority with another certificate."""

    def changed(answer: Answer) -> Answer:
        own = x509.load_pem_x509_certificate(answer.certificate.encode()).public_key()
        public_key = own if key and is_p256(own) else new_key().public_key()
        at = world.at - timedelta(days=days)
        return Answer(
            pem(certify_host(world.authority.key, world.authority.certificate, host, public_key, at)), answer.authority
        )

    return changed


def test_an_answer_that_cannot_be_used_changes_nothing(world: World) -> None:
    world.run()
    first = world.pair()
    world.at += timedelta(days=25)
    wrong: dict[str, Callable[[Answer], Answer]] = {
        "is for another key or another name": answering(world, key=False),
        "is for another key": answering(world, Host("vault-2", VAULT_1.dns, VAULT_1.usage)),
        "has ended": answering(world, days=31),
        "is not one of the authority": lambda answer: Answer(answer.certificate, pem(new_authority().certificate)),
        "cannot be read": lambda answer: Answer("x", "x"),
    }
    for said, world.answer in wrong.items():
        with pytest.raises(CertificateError, match=f"that the authority issued .*{said}"):
            world.run()
        assert world.pair() == first


def test_while_the_authority_is_unavailable_the_pair_stays_and_what_a_crash_left_is_completed(world: World) -> None:
    world.run()
    first = world.pair()
    (world.folder / "vault/current").unlink()
    (world.folder / "tls/loaded").unlink()
    world.at += timedelta(days=25)

    def unavailable(answer: Answer) -> Answer:
        raise CertificateError("the function sign cannot be reached")

    world.answer = unavailable
    with pytest.raises(CertificateError, match="cannot be reached"):
        world.run()
    assert world.pair() == world.pair("vault") == first
    assert len(world.loaded) == 2


def test_services_that_could_not_load_the_pair_load_it_in_the_next_run(world: World) -> None:
    class Failing(World):
        def reload(self) -> None:
            raise CertificateError("systemctl failed")

    with pytest.raises(CertificateError):
        Failing(world.folder, world.authority, world.at).run()
    assert "stays in use" in world.run()
    assert world.loaded == [world.pair().certificate]


def test_of_two_runs_at_the_same_time_one_waits_for_the_other(world: World) -> None:
    runs = [Thread(target=world.run) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()

    assert sorted(world.asked) == ["new", "report"]
    assert world.pair() == world.pair("vault")


CHANGES = {
    *("open", "os.rename", "os.symlink", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.chown"),
    *("shutil.rmtree", "shutil.chown", "fcntl.flock"),
}


def killed_at(world: World, number: int) -> bool:
    """Run in a process that ends before a certain change, as by a kill; return whether it came that far."""
    child = os.fork()
    if child == 0:
        left = itertools.count(1)

        def end(event: str, arguments: tuple[object, ...]) -> None:
            ours = event in CHANGES and (event != "open" or str(world.folder) in str(arguments[0]))
            if ours and next(left) == number:
                os._exit(9)

        sys.addaudithook(end)
        try:
            world.run()
        except BaseException:  # noqa: BLE001  a child of the test run must not go on as one
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 9)
    return status == 9


def test_killed_at_any_step_a_host_has_a_working_pair_and_the_next_run_completes_the_rest(world: World) -> None:
    world.run()
    seen, number = {world.pair()}, 0
    for number in itertools.count(1):
        world.at += timedelta(days=21)
        if not killed_at(world, number):
            break
        seen |= {world.pair(), world.pair("vault")}
        world.run()
        seen.add(world.pair())
        assert world.pair("vault") == world.pair()
        assert world.loaded[-1] == world.pair().certificate
        for place in ("tls", "vault"):
            names = {path.name for path in (world.folder / place).iterdir()} - {"loaded", ".lock"}
            current = (world.folder / place / "current").readlink().name
            assert names == {"current", current, "host.key", "host.pem", "authority.pem"}
    assert number > 30
    assert len(seen) >= number  # each of them was renewed


def test_a_kill_during_the_very_first_run_leaves_nothing_that_looks_like_a_certificate(world: World) -> None:
    install_pair(world.folder / "tls", KeyPair(b"k", b"c", b"a"))
    (world.folder / "tls/current").unlink()

    assert read_pair(world.folder / "tls") is None
    assert not (world.folder / "tls/host.pem").exists()
    world.run()
    assert world.pair() == world.pair("vault")
