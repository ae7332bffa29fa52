"""The hosts that the authority certifies, by the name of their IAM role: each with its names and what it may do."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from vaultwatch.errors import SettingError

Usage = Literal["server", "client"]
_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.ASCII)
_MAX_DOMAIN = 253


class Host(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is certified for one role.

    Attributes:
        name: The common name, with which the log server tags the lines of a node.
        dns: The DNS names, all within the domain of the deployment.
        usage: Whether the certificate is for a TLS server, a client, or both.
        instance: Whether only an EC2 instance that has the role is certified, and nobody who assumed it in another way.
            False for external nodes, which may be anywhere.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")]
    dns: Annotated[tuple[str, ...], Meta(min_length=1, max_length=10)]
    usage: Annotated[tuple[Usage, ...], Meta(min_length=1)]
    instance: bool = True


def read_hosts(text: str, domain: str) -> dict[str, Host]:
    """Read the hosts from JSON: an object of roles, each with a host.

    Args:
        text: The JSON.
        domain: The domain to which the authority is limited.

    Raises:
        SettingError: It is not such an object, two roles share a name, or a DNS name is not within the domain.
    """
    try:
        hosts = msgspec.json.decode(text, type=dict[str, Host])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise SettingError(f"the hosts of the authority: {error}") from None
    if not is_domain(domain):
        raise SettingError(f"the domain of the authority: {domain!r} is not a domain")
    if len({host.name for host in hosts.values()}) < len(hosts):
        raise SettingError("the hosts of the authority: two of them have the same name")
    for name in (name for host in hosts.values() for name in host.dns):
        if not is_domain(name) or not name.endswith(f".{domain}"):
            raise SettingError(f"the hosts of the authority: {name!r} is not a name within {domain}")
    return hosts


def is_domain(text: str) -> bool:
    """Return whether a text is a DNS name of lowercase labels, without a wildcard."""
    return len(text) <= _MAX_DOMAIN and _DOMAIN.fullmatch(text) is not None
