"""See of a line with neither time nor level whether a server writes such lines, or something else may be in it.

Each is read as a message of its own, because a rule may name it. A line in a form that is not known (base64, a column,
a prefix of its own) would so be a message too, and nobody would hear that what it says was not read.
"""

from __future__ import annotations

import re

BANNERS = (b"==> ", b"panic: ", b"fatal error: ")
"""How a banner begins, and what the runtime of Go writes last."""
_FAILED_STARTS = (
    *(b"Error initializing storage of type ", b"Error initializing core: ", b"Error initializing listener of type "),
    *(b"Error parsing Seal configuration: ", b"Error configuring seal ", b"error loading configuration from "),
    b"ERROR! Storage migration in progress",
)
"""What a server that could not start writes to stderr, often as its only line."""
_BEGINNINGS = BANNERS + _FAILED_STARTS
_OF_A_SERVER = re.compile(
    b"|".join(map(re.escape, BANNERS)) + rb"|\[signal |goroutine \d|exit status \d"
    rb"|created by |\t\S{1,512}:\d{1,9}\b|[\w./@~-]{1,512}\.[^\s\"]{0,256}\([^\"]{0,4096}\)\s{0,8}\Z"  # of a stack
    rb"|\.\.\.|\s{0,64}[A-Z][\w /()-]{0,40}:(?: |\s*\Z)(?!.*\{)"  # of a banner, or an error before the log
    rb"|[Ee]rror (?:loading configuration from|configuring seal|initializing storage of type|parsing listener) "
    rb"|  \||\s{0,64}\* |\d{1,4} errors? occurred:"
    # Where a warning is wrapped.
    rb"|WARNING! (?:A non-fatal error|Unable to read storage)|logs for more information|production\s*\Z"
    # what `server -dev` prints
    rb"|WARNING! dev mode|and starts unsealed|authenticated to the CLI|You may need to set|\s{0,8}\$ export "
    rb"|The (?:unseal|recovery) key and root token|seal/unseal the|Development mode should|The following dev plugins"
    rb"|\s{4,8}- \w"
    # What the entry point of an image, a signal, and memory that may not be locked cause.
    rb"|chown: |Could not chown |unexpected fault address |runtime: |signal: |Failed to initiate raft retry join"
    rb"|This usually means that the mlock|Vault uses mlock |disk\. This requires root|that supports mlock\."
    rb"|disable Vault from using it|set the `disable_mlock`|file\.\s*\Z",
    re.DOTALL,
)


def is_banner(text: bytes) -> bool:
    """Return whether a text begins as what only a server writes with neither time nor level."""
    return text.startswith(_BEGINNINGS)


def is_unclear(text: bytes) -> bool:
    """Return whether no server is known to write such a line.

    Args:
        text: A line with neither time nor level, without what other programs have put before it.
    """
    return _OF_A_SERVER.match(text) is None
