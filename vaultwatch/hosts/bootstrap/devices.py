"""Enable the audit devices, before anybody uses the cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vaultwatch.errors import BootstrapError
from vaultwatch.hosts.bootstrap.calls import Api, expect
from vaultwatch.hosts.bootstrap.plan import AuditDevice, Plan


def enable_devices(api: Api, plan: Plan, token: str, report: Callable[[str], None]) -> None:
    """Enable the audit devices that are missing; on OpenBao, check that its configuration declares them.

    OpenBao enables no audit device by its API unless `unsafe_allow_api_audit_creation` is set.

    Raises:
        BootstrapError: A device is missing and cannot be enabled, or has other options than planned.
    """
    there = _enabled(api, token)
    for device in plan.devices:
        if device.path in there:
            _check_options(device, there[device.path])
        elif plan.product == "openbao":
            raise BootstrapError(f"audit device {device.path}/ is missing: OpenBao's configuration must declare it")
        else:
            body = {"type": device.type, "options": device.options}
            expect(api.put(f"sys/audit/{device.path}", body, token), f"sys/audit/{device.path}")
            report(f"audit device {device.path}/ is enabled")


def _enabled(api: Api, token: str) -> dict[str, dict[str, Any]]:
    found = expect(api.get("sys/audit", token), "sys/audit").body.get("data")
    devices = found if isinstance(found, dict) else {}
    return {path.rstrip("/"): device for path, device in devices.items() if isinstance(device, dict)}


def _check_options(device: AuditDevice, found: dict[str, Any]) -> None:
    options = found.get("options") or {}
    wrong = [name for name, value in device.options.items() if options.get(name) != value]
    if found.get("type") != device.type or wrong:
        named = ", ".join(wrong) or "type"
        raise BootstrapError(
            f"audit device {device.path}/ has another {named} than planned: disable it, and run this again"
        )
