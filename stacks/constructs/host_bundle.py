"""The host bundle as an asset of the CDK, which uploads it."""

from __future__ import annotations

from aws_cdk import Aws, Stack
from aws_cdk import aws_s3_assets as s3_assets

from stacks.bundling import ROOT, Target
from stacks.host_bundle import PYTHON, HostBundle, build_host_bundle
from stacks.user_data import BundleLocation

_ARCHITECTURE = "arm64"


def bundle_location(stack: Stack) -> BundleLocation:
    """Build the host bundle, and return where hosts will find it.

    Args:
        stack: The stack whose deployment uploads it. If the CDK needs no code (`cdk list`), none is built.

    Raises:
        RuleError: If a rule does not compile.
        BundleError: If a package cannot be downloaded or is not the pinned one.
    """
    bundle = _built() if stack.bundling_required else HostBundle(ROOT / "pyproject.toml", "0" * 64)
    asset = s3_assets.Asset(stack, "HostBundle", path=str(bundle.file), asset_hash=bundle.sha256)
    return BundleLocation(
        url=f"https://{asset.s3_bucket_name}.s3.{Aws.REGION}.{Aws.URL_SUFFIX}/{asset.s3_object_key}",
        object_arn=f"arn:{Aws.PARTITION}:s3:::{asset.s3_bucket_name}/{asset.s3_object_key}",
        sha256=bundle.sha256,
    )


def _built() -> HostBundle:
    target = Target(PYTHON, _ARCHITECTURE)
    return build_host_bundle(target, ROOT / ".bundle" / f"hosts-{target.name}.zip")
