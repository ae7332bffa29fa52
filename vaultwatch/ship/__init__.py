"""`vaultwatch ship`: the program() handler that sends a log server's lines to Kinesis, batched into frames.

Its modules, in the order in which a line passes them:

handler     implements `vaultwatch.handler.run.Handler`
options     the command's options, and its intervals and time limits
checks      finds unusable settings before the input is read
pipeline    turns the bytes of the input into frames and heartbeats
reading     splits chunks of bytes into whole lines
gathering   gathers lines into batches, by time and size
boundaries  finds where a batch of server-log lines may be divided without dividing a message
framing     encodes batches as frames, references and heartbeats, in one sequence
timeline    remembers the last time that each node logged, for messages without a time
oversize    stores lines too large for a Kinesis record in S3, or in a file
outbox      holds encoded frames, bounded, until Kinesis has accepted them
sending     sends the outbox with PutRecords until everything is accepted
metrics     the metrics of `--metrics FILE`
retries     decides when an AWS call is retried, and logs failures
"""

from vaultwatch.ship.handler import check_config, run
from vaultwatch.ship.options import Pace, ShipOptions

__all__ = ["Pace", "ShipOptions", "check_config", "run"]
