"""The functions: each decodes its event, calls the package, answers."""

import sys

if "typing_extensions" not in sys.modules:
    # msgspec asks it for what `typing` itself has since Python 3.11, and a function would compile its 4,000 lines at
    # every cold start (an eighth of the whole, measured): to msgspec it is not there.
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    import msgspec  # noqa: F401

    del sys.modules["typing_extensions"]
