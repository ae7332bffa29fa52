"""The functions: each decodes its event, calls the package and answers. What must precede every import is here."""

import gc
import sys

# The clients are 60,000 objects that live as long as the process, and records make no cycles: collecting garbage after
# every 700 new objects takes a tenth of a cold start.
gc.set_threshold(100_000)

if "typing_extensions" not in sys.modules:
    # msgspec imports it for names that `typing` has since Python 3.11, and compiling its 4,000 lines takes an eighth of
    # a cold start: while msgspec is imported, the module does not exist.
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    import msgspec  # noqa: F401

    del sys.modules["typing_extensions"]
