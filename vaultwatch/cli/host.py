"""`vaultwatch host`: what the systemd units of a node and of the log server run."""

from __future__ import annotations

from pathlib import Path

import click

from vaultwatch.cli.examples import examples
from vaultwatch.cli.groups import Group

_FILE = click.Path(path_type=Path)
_VALUES, _ASSETS = Path("/etc/vaultwatch/host.json"), Path("/opt/vaultwatch/assets")


@click.group("host", cls=Group, epilog=examples("vaultwatch host certificate"))
def command() -> None:
    """Set up and maintain a node or the log server of a deployment."""


@command.command(
    "render",
    short_help="Write the configuration files of this host.",
    epilog=examples(
        "vaultwatch host render --root /tmp/host",
    ),
)
@click.option(
    "--values", type=_FILE, default=_VALUES, metavar="FILE", show_default=True,
    help="JSON object with the values of this host.",
)  # fmt: skip
@click.option(
    "--assets", type=_FILE, default=_ASSETS, metavar="DIR", show_default=True,
    help="Folder with the assets.",
)  # fmt: skip
@click.option(
    "--root", type=_FILE, default=Path("/"), metavar="DIR", show_default=True,
    help="Root of the file system to write to; with another one than /, files keep the owner who writes them.",
)  # fmt: skip
def render(values: Path, assets: Path, root: Path) -> None:
    """Write the configuration files of this host, and print those that changed."""
    from vaultwatch.hosts.values import read_values
    from vaultwatch.hosts.writing import write_files

    for path in write_files(read_values(values), assets, root, own=root == Path("/")):
        click.echo(path)


@command.command(
    "install",
    short_help="Set up this host at boot.",
    epilog=examples(
        "vaultwatch host install",
    ),
)
def install() -> None:
    """Set up this host, and signal to CloudFormation when it is ready; what is done already is left as it is."""
    import logging

    from vaultwatch.hosts.install import boot
    from vaultwatch.hosts.install.machine import this_host, uptime_seconds

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)  # it names the source of its credentials each time
    boot(this_host(_VALUES, _ASSETS), uptime_seconds())


@command.command(
    "ready",
    short_help="Report that this host is ready.",
    epilog=examples(
        "vaultwatch host ready",
    ),
)
def ready() -> None:
    """Write the metric that this host is ready, if it is."""
    from vaultwatch.hosts.install.machine import this_host
    from vaultwatch.hosts.install.readiness import report_ready

    report_ready(this_host(_VALUES, _ASSETS))


@command.command(
    "rotate",
    short_help="Rotate the file of Vault's audit device.",
    epilog=examples(
        "vaultwatch host rotate",
    ),
)
@click.option(
    "--values", type=_FILE, default=_VALUES, metavar="FILE", show_default=True,
    help="JSON object with the values of this node.",
)  # fmt: skip
def rotate(values: Path) -> None:
    """Rotate the file of Vault's file audit device, if it is time and nothing would be lost."""
    from vaultwatch.hosts.programs import audit_file_rotation
    from vaultwatch.hosts.values import read_values

    click.echo(audit_file_rotation(read_values(values)).run())


@command.command(
    "remove-archived",
    short_help="Remove rotated files that S3 has.",
    epilog=examples(
        "vaultwatch host remove-archived /var/log/vault/archive",
    ),
)
@click.argument("folders", type=_FILE, nargs=-1, required=True, metavar="DIR...")
def remove_archived(folders: tuple[Path, ...]) -> None:
    """Remove rotated files that S3 has: those with an empty FILE.archived beside them."""
    from vaultwatch.hosts.rotation import remove_archived as remove

    for path in remove(folders):
        click.echo(f"removed: {path}")


@command.command(
    "bootstrap",
    short_help="Set up a new cluster.",
    epilog=examples(
        "vaultwatch host bootstrap",
    ),
)
@click.option(
    "--values", type=_FILE, default=_VALUES, metavar="FILE", show_default=True,
    help="JSON object with the values of this node.",
)  # fmt: skip
@click.option(
    "--assets", type=_FILE, default=_ASSETS, metavar="DIR", show_default=True,
    help="Folder with the assets.",
)  # fmt: skip
def bootstrap(values: Path, assets: Path) -> None:
    """Set up a new cluster: recovery keys, audit devices, a first administrator, no root token.

    It does nothing on a cluster that is set up, and goes on where an earlier run ended. Recovery keys go to Secrets
    Manager, and are never printed.
    """
    from vaultwatch.aws.clients import make_client
    from vaultwatch.hosts.cluster import bootstrap_cluster
    from vaultwatch.hosts.values import read_values

    bootstrap_cluster(read_values(values), assets, make_client("secretsmanager"), click.echo)


@command.command(
    "snapshot",
    short_help="Store a snapshot of Vault's storage in S3.",
    epilog=examples(
        "vaultwatch host snapshot",
    ),
)
@click.option(
    "--values", type=_FILE, default=_VALUES, metavar="FILE", show_default=True,
    help="JSON object with the values of this node.",
)  # fmt: skip
def snapshot(values: Path) -> None:
    """Store a snapshot of Vault's storage in S3, if this is the active node, and print its key."""
    from datetime import UTC, datetime

    from vaultwatch.aws.clients import Clients, make_client
    from vaultwatch.hosts.snapshots import snapshots_of
    from vaultwatch.hosts.values import read_values

    s3 = Clients(connect_timeout_seconds=5, read_timeout_seconds=120).s3()
    taking = snapshots_of(read_values(values), Path("/etc/vaultwatch/tls"), s3, make_client("cloudwatch"))
    click.echo(taking.run(datetime.now(UTC)))


@command.command(
    "certificate",
    short_help="Get or renew this host's certificate.",
    epilog=examples(
        "vaultwatch host certificate",
    ),
)
@click.option(
    "--values", type=_FILE, default=Path("/etc/vaultwatch/host.json"), metavar="FILE", show_default=True,
    help="JSON object with the values of this host.",
)  # fmt: skip
@click.option(
    "--root", type=_FILE, default=Path("/"), metavar="DIR", show_default=True,
    help="Root of the file system to write to; with another one than /, no group gets the key and no unit is reloaded.",
)  # fmt: skip
def certificate(values: Path, root: Path) -> None:
    """Get this host's certificate, renew it ten days before it ends, and report how long it is valid.

    The key is made on this host and replaced together with its certificate. Then syslog-ng and Vault load both.
    """
    from datetime import UTC, datetime

    from vaultwatch.hosts.maintained import host_certificate
    from vaultwatch.hosts.values import read_values

    click.echo(host_certificate(read_values(values), root).run(datetime.now(UTC)))
