"""A certificate authority for one test, and what it signs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from testbed.certificates import Authority


@dataclass(frozen=True)
class Certificates:
    """PEM files: the `authority`'s certificate, and a `server`'s for `localhost` with its key."""

    authority: Path
    server: Path


def make_certificates(folder: Path) -> Certificates:
    """Write both into `folder`; they are valid for a day."""
    authority = Authority()
    certificate, key = authority.issue("localhost", ["localhost"])
    found = Certificates(folder / "authority.pem", folder / "server.pem")
    found.authority.write_bytes(authority.pem)
    found.server.write_bytes(key + certificate)
    return found
