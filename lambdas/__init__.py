"""The functions: each decodes its event, calls the package and answers. This module is imported first, to save time."""

import gc
import sys

# The clients are 60,000 objects that live as long as the process, and records make no cycles: collecting garbage after
# every 700 new objects takes a tenth of a cold start.
gc.set_threshold(100_000)

if "typing_extensions" not in sys.modules:
    # msgspec imports it for names that `typing` has since Python 3.11, and compiling its 4,000 lines takes an eighth of
    # a cold start: it is hidden while msgspec is imported.
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    import msgspec  # noqa: F401

    del sys.modules["typing_extensions"]
