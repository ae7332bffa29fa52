"""How long a cold start of `evaluate` takes: CPU of a fresh interpreter, against one bare client of boto3.

`python -m bench.cold_start` prints the median of five rounds, the two in turn, with the start of Python itself taken
off. Ours is measured with and without compiled modules of our own; on Lambda there are none.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 5
PROGRAMS = {
    "python": "pass",
    "boto3.client('sns')": "import boto3; boto3.client('sns')",
    "lambdas.evaluate and its clients": "import lambdas.evaluate",
}
_ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "ALERT_MEMORY_DAYS": "90",
    "BUCKET_NAME": "none",
    "TABLE_NAME": "none",
    "TIMEZONE": "UTC",
    "TOPIC_ARN": "none",
}


def cpu_seconds(program: str, environment: dict[str, str]) -> float:
    """User and system CPU of a fresh interpreter that runs this program."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    root = Path(__file__).resolve().parent.parent
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root, env={**os.environ, **environment})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(compiled: bool) -> dict[str, float]:
    """Median CPU seconds of each program; with `compiled`, everything that is imported has been compiled before."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**_ENVIRONMENT, "PYTHONDONTWRITEBYTECODE": "" if compiled else "1"}
        environment |= {"PYTHONPYCACHEPREFIX": cache} if compiled else {}
        for program in PROGRAMS.values() if compiled else ():
            cpu_seconds(program, environment)
        rounds = [{name: cpu_seconds(text, environment) for name, text in PROGRAMS.items()} for _ in range(ROUNDS)]
    return {name: statistics.median(one[name] for one in rounds) for name in PROGRAMS}


def main() -> None:
    """Measure and print."""
    for compiled in (True, False):
        found = measure(compiled)
        start, bare, ours = found.values()
        print("compiled:" if compiled else "our own modules not compiled:")
        for name, seconds in found.items():
            print(f"  {seconds * 1000:5.0f} ms  {name}")
        print(f"  ratio {(ours - start) / (bare - start):.2f}")


if __name__ == "__main__":
    main()
