"""`vaultwatch ship`: the program() handler that batches a log server's lines into frames and sends them to Kinesis.

options    what the user may set, and how long things take
reading    bytes from a pipe -> whole lines
messages   where a run of server-log lines may be divided
gathering  lines -> batches, closed by time or size
counters   lines and bytes per cluster, node and lane
framing    batches -> encoded frames, claim checks and heartbeats, in one sequence
oversize   lines too large for a record -> S3, or a file
outbox     what is encoded and not yet accepted: bounded
sending    the outbox -> PutRecords, without end
aws        clients, and what their errors mean
settings   what is wrong with the settings, before anything is read
log        syslog or a file; never the same complaint in a flood
handler    all of it, from the first byte to the end of the input
"""

from vaultwatch.ship.handler import run
from vaultwatch.ship.options import Pace, ShipOptions

__all__ = ["Pace", "ShipOptions", "run"]
