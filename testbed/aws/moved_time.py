"""The program of a function's process: the real runtime client, with the local AWS's clock as `time.time`."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path


def _moved(real: Callable[[], float], by: Path) -> Callable[[], float]:
    return lambda: real() + float(by.read_text())


if __name__ == "__main__":
    time.time = _moved(time.time, Path(os.environ.pop("LOCAL_AWS_MOVED_BY")))
    from awslambdaric.__main__ import main

    main(sys.argv)
