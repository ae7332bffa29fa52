"""Create the first administrator, who is not root."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Protocol

from vaultwatch.hosts.bootstrap.calls import Api, enable_method, expect
from vaultwatch.hosts.bootstrap.plan import ADMINISTRATOR, Plan

_AWS, _USERPASS = "aws", "userpass"
_SESSION = {"token_ttl": "1h", "token_max_ttl": "8h"}


class Password(Protocol):
    """Keeps the administrator's password, if administrators do not log in by IAM."""

    def write(self, value: str) -> None:
        """Store it in place of the present one.

        Raises:
            BootstrapError: It may not have been stored.
        """
        ...


def create_administrator(api: Api, plan: Plan, token: str, password: Password, report: Callable[[str], None]) -> None:
    """Create the administrator's policy and its holders: IAM principals, otherwise a user with a password.

    Raises:
        BootstrapError: Vault refuses a part of it.
    """
    policy = f"sys/policies/acl/{ADMINISTRATOR}"
    expect(api.put(policy, {"policy": plan.policy}, token), policy)
    if plan.uses_iam:
        _by_iam(api, plan, token)
        report(f"{len(plan.administrators)} IAM principals may log in as {ADMINISTRATOR}")
    else:
        _by_password(api, token, password)
        report(f"the user {ADMINISTRATOR} exists, and its password is in the secret")


def _by_iam(api: Api, plan: Plan, token: str) -> None:
    enable_method(api, _AWS, token)
    # Without the header, whoever sees a login made for another server could use it here.
    client = {"iam_server_id_header_value": plan.server_id} if plan.server_id else {}
    expect(api.put("auth/aws/config/client", client, token), "auth/aws/config/client")
    role = {
        "auth_type": "iam",
        "bound_iam_principal_arn": list(plan.administrators),
        "token_policies": [ADMINISTRATOR],
    }
    path = f"auth/aws/role/{ADMINISTRATOR}"
    expect(api.put(path, role | _SESSION, token), path)


def _by_password(api: Api, token: str, store: Password) -> None:
    enable_method(api, _USERPASS, token)
    password = secrets.token_urlsafe(32)
    store.write(password)  # before the user has it: a run that ends here leaves no user without one
    path = f"auth/userpass/users/{ADMINISTRATOR}"
    expect(api.put(path, {"password": password, "token_policies": [ADMINISTRATOR]} | _SESSION, token), path)
