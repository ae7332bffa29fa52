"""Settings for all tests: no credentials of the machine, and no deadlines on a busy one."""

import gc
import os
import signal

from hypothesis import settings

# The same examples in each run, because a change has to answer for itself and not for what chance finds that day. No
# deadline: a busy machine is slow, not wrong.
settings.register_profile("vaultwatch", deadline=None, derandomize=True)
settings.register_profile("long", deadline=None, max_examples=1000)  # others in each run: `make test-long`
settings.load_profile("vaultwatch")

for name in [name for name in os.environ if name.startswith(("AWS_", "VAULTWATCH_"))]:
    del os.environ[name]
os.environ.update(
    AWS_ACCESS_KEY_ID="testing",
    AWS_SECRET_ACCESS_KEY="testing",
    AWS_DEFAULT_REGION="eu-central-1",
    AWS_EC2_METADATA_DISABLED="true",
    AWS_CONFIG_FILE=os.devnull,
    AWS_SHARED_CREDENTIALS_FILE=os.devnull,
)

# A shell that runs the tests in the background makes them ignore Ctrl-C, which child processes would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Exclude all that is imported from garbage collection: tests that collect and count objects look at a million."""
    gc.collect()
    gc.freeze()
