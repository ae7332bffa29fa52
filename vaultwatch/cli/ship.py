"""`vaultwatch ship`: a stream on stdin, batched to Kinesis."""

from __future__ import annotations

from pathlib import Path

import click

from vaultwatch.cli.common import HandlerCommand

_FILE = click.Path(path_type=Path)


@click.command("ship", cls=HandlerCommand)
@click.option("--source", required=True, metavar="audit|server", help="What the lines are.")
@click.option("--stream", required=True, metavar="NAME", help="The Kinesis stream.")
@click.option("--oversize-bucket", default="", metavar="NAME", help="Takes lines that are too large for the stream.")
@click.option(
    "--state", type=_FILE, metavar="DIR",
    help="Holds the lock, and large lines where there is no bucket. Default: /run/vaultwatch, "
    "else $XDG_RUNTIME_DIR/vaultwatch.",
)  # fmt: skip
@click.option("--log-file", type=_FILE, metavar="FILE", help="Log here instead of to syslog.")
@click.option("--check-config", is_flag=True, help="Say what is wrong with the settings, and end.")
def command(
    source: str, stream: str, oversize_bucket: str, state: Path | None, log_file: Path | None, check_config: bool
) -> int:
    """Batch a stream on stdin to Kinesis for ever: the program() handler of a log server.

    It reads to the end of its input, also after SIGTERM. A wrong setting is logged and tried again every 10 seconds,
    without reading; --check-config finds it before. Credentials, region and endpoint are found as boto3 finds them.
    """
    from vaultwatch.ship.handler import run
    from vaultwatch.ship.options import ShipOptions

    return run(
        ShipOptions(
            source=source,
            stream=stream,
            oversize_bucket=oversize_bucket,
            state=state,
            log_file=log_file,
            check_config=check_config,
        )
    )
