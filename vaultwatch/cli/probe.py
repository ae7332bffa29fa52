"""`vaultwatch probe`: how Vault, syslog-ng and the disks of a machine are."""

from __future__ import annotations

from pathlib import Path

import click

from vaultwatch.cli.examples import examples
from vaultwatch.cli.outputs import check_output, write_output
from vaultwatch.outputs import metrics_by
from vaultwatch.watch import probe
from vaultwatch.watch.secret_files import naming, secret_in

_ADDRESS = "https://127.0.0.1:8200"
_FILE = click.Path(path_type=Path)


@click.command(
    "probe",
    epilog=examples(
        "vaultwatch probe --address http://127.0.0.1:8200",
        "vaultwatch probe --ca-file /etc/vault/ca.pem --disk /var/log/vault",
        "vaultwatch probe --canary-token-file /etc/vaultwatch/canary-token --metrics vaultwatch-probe.prom",
    ),
)
@click.option(
    "--address", metavar="URL", envvar=["VAULT_ADDR", "BAO_ADDR"], default=_ADDRESS, show_default=True,
    help="Where Vault answers; also VAULT_ADDR or BAO_ADDR.",
)  # fmt: skip
@click.option(
    "--ca-file", type=_FILE, metavar="FILE", envvar=["VAULT_CACERT", "BAO_CACERT"],
    help="The certificates by which Vault is known, in PEM; also VAULT_CACERT or BAO_CACERT.",
)  # fmt: skip
@click.option(
    "--canary-token-file", type=_FILE, metavar="FILE", help="Also make a call with this token, whose entry must arrive."
)
@click.option(
    "--syslog-ng/--no-syslog-ng", "syslog_ng", default=None,
    help="Whether this machine passes on its logs by syslog-ng. Default: if that is installed.",
)  # fmt: skip
@click.option("--disk", "disks", type=_FILE, multiple=True, metavar="PATH", help="How full the disk of this path is.")
@click.option(
    "--metrics", type=_FILE, metavar="FILE", help="Write metrics instead of text, in Prometheus's text format."
)
def command(
    address: str,
    ca_file: Path | None,
    canary_token_file: Path | None,
    syslog_ng: bool | None,
    disks: tuple[Path, ...],
    metrics: Path | None,
) -> int:
    """Ask Vault, syslog-ng and the disks of this machine how they are.

    For a machine of `vaultwatch watch`, each minute: whether Vault answers and is unsealed, when its certificate ends,
    how many lines wait in the queues of syslog-ng and how many they dropped. With a token that can do nothing but ask
    about itself, the call of the canary: `watch --metrics` says when its entry arrived.

    Exit status: 0 if all is well; 1 if there is a problem: Vault or syslog-ng does not answer, Vault is sealed or
    refuses the canary, lines were dropped, a disk cannot be read; 2 if it cannot run. With --metrics, which say all of
    that, 0 instead of 1.
    """
    if metrics:
        check_output(
            "--metrics", metrics, metrics_by("probe"), [str(path) for path in (ca_file, canary_token_file) if path]
        )
    token = ""
    if canary_token_file:
        with naming(f"--canary-token-file: {canary_token_file}"):
            token = secret_in(canary_token_file, "token")
    found = probe.Found(probe.ask_vault(address, ca_file, token), probe.ask_syslog_ng(syslog_ng), probe.disks_of(disks))
    if metrics:
        write_output("--metrics", metrics, metrics_by("probe"), [probe.metrics_of(found)])
        return 0
    for line in probe.lines_of(found):
        click.echo(line)
    problems = list(probe.problems_of(found))
    for problem in problems:
        click.echo(f"problem    {problem}")
    return 1 if problems else 0
