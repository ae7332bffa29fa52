"""The functions: each decodes its event, calls the package, answers. What comes before all else at a start is here."""

import gc
import sys

# Clients are 60,000 objects that stay, and records make no cycles: not to look for garbage among them at every 700th
# new object is a tenth of a cold start.
gc.set_threshold(100_000)

if "typing_extensions" not in sys.modules:
    # msgspec asks it for what `typing` itself has since Python 3.11, and its 4,000 lines, compiled anew, are an eighth
    # of a cold start: to msgspec it is not there.
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    import msgspec  # noqa: F401

    del sys.modules["typing_extensions"]
