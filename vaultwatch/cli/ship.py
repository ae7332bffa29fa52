"""`vaultwatch ship`: send the lines on stdin to Kinesis."""

from __future__ import annotations

from pathlib import Path

import click

from vaultwatch.cli.common import HandlerCommand, HandlerPath, completing
from vaultwatch.cli.examples import examples

_FILE = HandlerPath()


@click.command(
    "ship",
    cls=HandlerCommand,
    epilog=examples(
        "vaultwatch ship --source audit --stream vaultwatch --check-config",
    ),
)
@click.option(
    "--source", required=True, metavar="audit|server", shell_complete=completing("audit", "server"),
    help="The log that the lines come from.",
)  # fmt: skip
@click.option("--stream", required=True, metavar="NAME", help="Name of the Kinesis stream.")
@click.option(
    "--oversize-bucket", default="", metavar="NAME", help="S3 bucket for lines that are too large for the stream."
)
@click.option(
    "--state", type=_FILE, metavar="DIR",
    help="Directory for the lock, and for large lines if there is no bucket. Default: /run/vaultwatch, "
    "or $XDG_RUNTIME_DIR/vaultwatch if that is not writable.",
)  # fmt: skip
@click.option(
    "--metrics", type=_FILE, metavar="FILE",
    help="Write metrics to this file every 15 seconds, in Prometheus's text format.",
)  # fmt: skip
@click.option("--log-file", type=_FILE, metavar="FILE", help="Write the log of this process here instead of to syslog.")
@click.option("--check-config", is_flag=True, help="Check the settings, print what is wrong, and exit.")
def command(
    source: str,
    stream: str,
    oversize_bucket: str,
    state: Path | None,
    metrics: Path | None,
    log_file: Path | None,
    check_config: bool,
) -> int:
    """Send the lines on stdin to Kinesis, batched into frames: for syslog-ng's program() destination.

    It reads its input to the end, even after SIGTERM. While a setting cannot be used, it logs why, reads nothing, and
    checks again every 10 seconds; --check-config finds such a problem before the start. A wrong value of --source
    ends it with status 2, unless syslog-ng has started it. Credentials, region and endpoint are those of any AWS SDK.
    """
    from vaultwatch.ship import handler
    from vaultwatch.ship.options import ShipOptions

    options = ShipOptions(
        source=source,
        stream=stream,
        oversize_bucket=oversize_bucket,
        state=state,
        metrics=metrics,
        log_file=log_file,
    )
    return handler.check_config(options) if check_config else handler.run(options)
