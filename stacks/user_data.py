"""User data: what an instance gets from CloudFormation at every boot."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NamedTuple

from stacks.bundling import ROOT


class BundleLocation(NamedTuple):
    """Where a host finds the host bundle.

    Attributes:
        url: Its HTTPS address in S3.
        object_arn: The ARN of the object.
        sha256: Its digest, without which the host refuses it.
    """

    url: str
    object_arn: str
    sha256: str


MAX_BYTES = 16_384
"""The most that EC2 accepts (EC2 user guide, "Run commands at launch")."""
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")


def host_user_data(values: Mapping[str, str], bundle: BundleLocation) -> str:
    """Return the user data of a host.

    Args:
        values: The values of host.json; CloudFormation fills in those that only it knows.
        bundle: Where the host bundle is.
    """
    given = {
        "values": json.dumps(dict(values), indent=1, sort_keys=True),
        "bundle_url": bundle.url,
        "bundle_sha256": bundle.sha256,
        "region": values["region"],
    }
    return _fill("host.sh", given)


def nat_user_data(vpc_cidr: str) -> str:
    """Return the user data of the NAT instance.

    Args:
        vpc_cidr: The range of the VPC, whose connections it forwards.
    """
    return _fill("nat.sh", {"vpc_cidr": vpc_cidr})


def _fill(script: str, given: Mapping[str, str]) -> str:
    text = (ROOT / "assets/boot" / script).read_text()
    return _PLACEHOLDER.sub(lambda found: given[found[1]], text)
