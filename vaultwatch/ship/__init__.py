"""`vaultwatch ship`: the program() handler that sends a log server's lines to Kinesis, batched into frames.

In the order in which a line passes:

handler     what `ship` adds to the life of a handler (`vaultwatch.handler.run`)
options     its options, and how long it waits for what
checks      settings that cannot be used, found before the input is read
pipeline    the loop: bytes in, frames and heartbeats out
reading     chunks of bytes -> whole lines
gathering   lines -> batches, closed by time or size
boundaries  where a batch of server-log lines may be cut without cutting a message
framing     batches -> encoded frames, references and heartbeats, in one sequence
counters    lines and bytes by cluster, node and lane, for heartbeats
timeline    the last time seen on each node, for messages without a time
oversize    lines too large for a Kinesis record -> S3, or a file
outbox      encoded frames that Kinesis has not accepted yet; bounded
sending     the outbox -> PutRecords, until everything is accepted
retries     when AWS calls are retried, and what is logged about it
"""

from vaultwatch.ship.handler import check_config, run
from vaultwatch.ship.options import Pace, ShipOptions

__all__ = ["Pace", "ShipOptions", "check_config", "run"]
