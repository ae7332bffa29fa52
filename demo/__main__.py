"""`make demo`: a session of Vault passes through the real syslog-ng to alerts and to Slack, in one of two modes.

    python -m demo [--mode aws|watch] [--live] [--scenario PRODUCT/SCENARIO]... [--keep]
    make demo [MODE=watch] [LIVE=1] [KEEP=1]

aws      `vaultwatch ship`, Kinesis, the functions, SNS and the archive, on a local AWS made from the templates
watch    `vaultwatch watch` on the log server itself: a single host, no AWS

Exit status: 0 if everything that was sent was evaluated and notified, 1 if not; it then prints what is wrong.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from testbed.errors import TestbedError
from testbed.log_server import VAULTWATCH
from testbed.recorded import DEFAULT_SCENARIOS, Recorded
from testbed.session import Session
from vaultwatch.printable import one_line

_LOG = "log"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo.

    Args:
        arguments: The arguments of the command line, by default those of the process.

    Returns:
        The exit status.
    """
    options = _parse(arguments)
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    try:
        session = _session(options)
        with _folder(keep=options.keep) as folder:
            if options.mode == "watch":
                from demo import watch_mode

                return watch_mode.run(session, folder)
            from demo import aws_mode

            return aws_mode.run(session, folder, slack_errors=options.slack_errors)
    except TestbedError as error:
        print(f"demo: {one_line(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted; everything it started has ended", file=sys.stderr)
        return 130


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    for number in _SIGNALS:  # a second signal must not interrupt the cleanup
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="demo", description="Plays a session of Vault through syslog-ng and shows the alerts it raises."
    )
    live, keep = _is_set("LIVE"), _is_set("KEEP")
    parser.add_argument(
        "--mode",
        choices=("aws", "watch"),
        default=os.environ.get("MODE") or "aws",
        help="aws: on a local AWS; watch: on a single host without AWS (MODE=watch)",
    )
    parser.add_argument(
        "--live", action="store_true", default=live, help="run and drive the vault or bao found on PATH (LIVE=1)"
    )
    parser.add_argument(
        "--scenario", action="append", metavar="PRODUCT/SCENARIO", help="play this recording instead; repeatable"
    )
    parser.add_argument(
        "--keep",
        action="store_true",
        default=keep,
        help="keep all files of the run, not only the report, the Slack page, the e-mails and the log (KEEP=1)",
    )
    parser.add_argument(
        "--slack-errors",
        type=int,
        default=0,
        metavar="COUNT",
        help="mode aws: Slack answers the first COUNT requests with status 500",
    )
    options = parser.parse_args(arguments)
    if options.mode not in ("aws", "watch"):  # argparse does not check defaults
        parser.error(f"MODE={one_line(options.mode)} is neither aws nor watch")
    return options


def _is_set(name: str) -> bool:
    """Return whether a variable of make is set: `make demo LIVE=1`."""
    return os.environ.get(name, "0") not in ("", "0")


def _session(options: argparse.Namespace) -> Session:
    if options.live:
        from demo.live import Live

        return Live()
    return Recorded(options.scenario or DEFAULT_SCENARIOS)


@contextmanager
def _folder(*, keep: bool) -> Iterator[Path]:
    """Yield the folder of the run; of it, a run that ends by itself leaves the pages, with `keep` everything."""
    folder = Path(tempfile.mkdtemp(prefix="vaultwatch-demo-"))
    ended = False
    try:
        yield folder
        ended = True
    finally:
        if ended or keep:
            _leave(folder, keep=keep)
        else:
            shutil.rmtree(folder)


def _leave(folder: Path, *, keep: bool) -> None:
    """Say where the pages are, and remove everything else unless `keep`; without pages, the folder too."""
    _keep_log(folder)
    _write_report(folder)
    pages = _pages(folder)
    if not pages and not keep:
        shutil.rmtree(folder)
        return
    if not keep:
        for path in folder.iterdir():
            if path.name not in pages:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    print(f"kept in {folder}: {', '.join(pages) or 'the files of the run'}")
    if "report.html" in pages:
        print(f"open {folder}/report.html")


def _keep_log(folder: Path) -> None:
    """Put the lines that were sent where mode watch has its log, unless it has: report and messages name that place."""
    log = folder / _LOG
    sent = [path for path in folder.glob("sent-*") if path.suffix != ".stats" and path.stat().st_size]
    if sent and not log.exists():
        log.mkdir()
        for path in sent:
            path.replace(log / path.name.removeprefix("sent-"))


def _write_report(folder: Path) -> None:
    """Write a report of the lines that were sent, if there are any."""
    if (folder / _LOG).exists():
        command = [str(VAULTWATCH), "report", "-o", str(folder / "report.html"), str(folder / _LOG)]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode not in (0, 1):
            print(f"demo: {one_line(done.stderr.decode('utf-8', 'replace').strip())}", file=sys.stderr)


def _pages(folder: Path) -> list[str]:
    """Return the files that a person may want to read."""
    return [name for name in ("report.html", "slack.html", "emails.txt", _LOG) if (folder / name).exists()]


if __name__ == "__main__":
    sys.exit(main())
