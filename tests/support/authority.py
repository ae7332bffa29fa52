"""An authority with a key of its own, hosts that ask it, and a stand-in for STS that checks their signatures."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from botocore.credentials import Credentials
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from werkzeug.wrappers import Request as HttpRequest
from werkzeug.wrappers import Response

from testbed.aws.server import Server
from testbed.aws.sts import Session, Sts
from testbed.aws.template import REGION
from vaultwatch.authority.certificates import certify_authority
from vaultwatch.authority.names import Host
from vaultwatch.authority.request import Identity, Request, digest_of, prove
from vaultwatch.authority.signing import Authority

DOMAIN = "vaultwatch.internal"
VAULT_1 = Host("vault-1", (f"vault-1.{DOMAIN}", f"vault.{DOMAIN}"), ("server", "client"))
LOG_SERVER = Host("log-server", (f"log.{DOMAIN}",), ("server",))
ELSEWHERE = Host("vault-7", (f"vault-7.{DOMAIN}",), ("client",), instance=False)
HOSTS = {"vaultwatch-vault-1": VAULT_1, "vaultwatch-log-server": LOG_SERVER, "anywhere": ELSEWHERE}
INSTANCE = "i-0123456789abcdef0"
Key = ec.EllipticCurvePrivateKey


def now() -> datetime:
    """Return the present time, without the part below a second."""
    return datetime.now(UTC).replace(microsecond=0)


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def new_authority(key: Key | None = None, at: datetime | None = None) -> Authority:
    """Return an authority whose key is in this process."""
    own = key or new_key()
    return Authority(own, certify_authority(own, "Vaultwatch test", DOMAIN, at or now()), HOSTS)


def new_csr(key: Key | rsa.RSAPrivateKey, name: str = "anything") -> x509.CertificateSigningRequest:
    """Return a request that also asks for names, which the authority has to ignore."""
    other = x509.SubjectAlternativeName([x509.DNSName("vault-2.vaultwatch.internal"), x509.DNSName("*")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(other, critical=False)
    return builder.add_extension(x509.BasicConstraints(ca=True, path_length=5), critical=True).sign(
        key, hashes.SHA256()
    )


def pem(thing: x509.Certificate | x509.CertificateSigningRequest) -> str:
    return thing.public_bytes(Encoding.PEM).decode()


@dataclass
class StsStandIn:
    """STS on loopback. `answer`, if set, replaces its answers; `calls` are the requests that it got."""

    sts: Sts = field(default_factory=lambda: Sts(time.time))
    answer: Callable[[HttpRequest], Response] | None = None
    calls: list[HttpRequest] = field(default_factory=list)
    url: str = ""

    def session(self, role: str = "vaultwatch-vault-1", name: str = INSTANCE, **more: str) -> Session:
        """Hand out credentials of a role."""
        return self.sts.hand_out(Session(role, name, **more))

    def identity(self, session: Session, digest: str) -> Identity:
        """Sign for a digest as a host does."""
        credentials = Credentials(session.access_key, session.secret_key, session.token)
        return prove(credentials, url=self.url, region=REGION, digest=digest)

    def request(self, session: Session, key: Key | None = None, certificate: str = "") -> Request:
        """Return a whole request of a host."""
        csr = new_csr(key or new_key())
        return Request(pem(csr), self.identity(session, digest_of(csr)), certificate)

    def serve(self, request: HttpRequest) -> Response:
        request.get_data()
        self.calls.append(request)
        return self.answer(request) if self.answer else self.sts.respond(request)


@contextmanager
def sts_stand_in() -> Iterator[StsStandIn]:
    """Run the stand-in while the context is open."""
    made = StsStandIn()
    server = Server(HttpRequest.application(made.serve))
    made.url = f"http://{server.address}"
    try:
        yield made
    finally:
        server.close()


def verified(folder: Path, certificate: x509.Certificate, authority: x509.Certificate, *options: str) -> str:
    """Return what `openssl verify` says of a certificate: "OK", or why it refuses it."""
    names = {"authority.pem": pem(authority), "host.pem": pem(certificate)}
    for name, text in names.items():
        (folder / name).write_text(text)
    command = [str(shutil.which("openssl")), "verify", "-x509_strict", "-CAfile", "authority.pem", *options, "host.pem"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return "OK" if done.stdout == "host.pem: OK\n" else done.stderr
