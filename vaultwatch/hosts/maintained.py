"""The certificate of this host, by its values: where it is installed, and which units load it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vaultwatch.errors import BOTO3_MISSING, CertificateError
from vaultwatch.hosts.asking import Sign
from vaultwatch.hosts.certificate import HostCertificate, Place
from vaultwatch.hosts.programs import reload_units

_OWN, _VAULTS = "etc/vaultwatch/tls", "etc/vault.d/tls"
_SYSLOG_NG, _VAULT = "syslog-ng.service", "vault.service"


def host_certificate(values: Mapping[str, str], root: Path) -> HostCertificate:
    """Return the certificate of a host.

    Args:
        values: The values of host.json.
        root: The root of its file system; with another one than /, no group gets the key and no unit is reloaded.

    Raises:
        CertificateError: botocore is not installed.
    """
    try:
        import botocore.session
    except ImportError:
        raise CertificateError(BOTO3_MISSING) from None
    here = root == Path("/")
    places, units = [Place(root / _OWN)], [_SYSLOG_NG]
    if values["role"] == "node":
        places.append(Place(root / _VAULTS, "vault" if here else ""))
        units.append(_VAULT)
    sign = Sign(botocore.session.get_session(), values["sign_function"], values["region"])
    return HostCertificate(values["name"], places, sign.ask, lambda: reload_units(units) if here else None)
