"""The image of all instances, and the way each of them must use its metadata service."""

from __future__ import annotations

from vaultwatch.settings import Settings

ROOT_DEVICE = "/dev/sda1"
"""The root device of Ubuntu's images."""


def image_of(settings: Settings) -> str:
    """Return the image: Ubuntu 24.04 for arm64.

    Canonical publishes each release under a serial that always names the same image, so that a deployment replaces no
    host because a newer image exists. CloudFormation resolves it: `cdk synth` needs no account.

    Args:
        settings: The serial, or the id of an own image.

    Returns:
        An image id, or a dynamic reference to one.
    """
    path = f"/aws/service/canonical/ubuntu/server/24.04/stable/{settings.image_serial}/arm64/hvm/ebs-gp3/ami-id"
    return settings.image_id or f"{{{{resolve:ssm:{path}}}}}"
