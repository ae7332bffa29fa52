"""Folders of the two buckets: what the stacks allow, and what the functions and `ship` use."""

from __future__ import annotations

ARCHIVE = "archive/"
ALERTS = "alerts/"
OVERSIZE = "oversize/"
PARKED = "parked/"
REJECTED = "rejected/"
# The on-failure destination of a Kinesis event source writes below this one and can be told nothing else.
DISCARDED = "aws/lambda/"
