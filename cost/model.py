"""What Vaultwatch costs per month on AWS, calculated from measurements, assumptions and prices.

It covers the stacks `archive` and `alerting` with default settings and both audit devices: each record is on the stream
twice (socket and file), in the archive twice (from the log server and from the node), and evaluated four times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, inf
from typing import Any

from cost import prices as usd
from vaultwatch.settings import Settings

HOURS = 730
SECONDS = HOURS * 3600
DAYS = HOURS / 24
GIB = 1024**3
PUT_UNIT_BYTES = 25 * 1024
SHARD_BYTES_A_SECOND = 1024**2
CORE_MIB = 1769
"""The memory at which a function has one core (AWS Lambda guide)."""
MAX_SEGMENT_BYTES = 64 * 1024**2
RECONCILE_SECONDS = 900
"""The longest that `reconcile` may take for an hour."""
LANES = ARCHIVES = 2
CALENDARS = 8
"""Of rows that wait: each minute `digest` reads the cursor of each, twice, and what is due."""
WINDOW_SECONDS = 600
"""The shortest timespan of a correlation in the pack; a window begins every half of it."""
COUNTING = "DynamoDB, Lambda: counts of correlations"
_AN_OBJECT = usd.PUT.usd + usd.GET.usd + usd.TO_INFREQUENT.usd + usd.TO_GLACIER.usd


def _assume(value: float, meaning: str) -> Any:
    return field(default=value, metadata={"meaning": meaning})


@dataclass(frozen=True)
class Assumptions:
    """What was not measured; each with its meaning, for the page."""

    alerts_per_million: float = _assume(10, "alerts per million records")
    notified: float = _assume(0.2, "of the alerts notified at once, one each; the others appear in summaries")
    emails: float = _assume(5, "addresses that get each notification by e-mail")
    nodes: float = _assume(3, "Vault nodes, of which one writes audit entries")
    call_ms: float = _assume(20, "ms that an invocation takes besides its measured CPU time")
    arm_slowness: float = _assume(1, "times the measured CPU time on Lambda's arm64 (one core at 1,769 MiB)")
    call_log_bytes: float = _assume(400, "bytes that Lambda itself logs per invocation (START, END, REPORT)")
    shard_fill: float = _assume(0.7, "of a shard's 1 MiB per second in use before another is added")
    write_factor: float = _assume(2, "DynamoDB write units per KiB, since all writes are transactions")
    row_factor: float = _assume(
        2, "writes per row of an alert, including its part of appointments and the marks of sent notifications"
    )
    digest_ms: float = _assume(100, "ms that `digest` takes every minute")
    notify_ms: float = _assume(400, "ms that `notify` takes per notification")
    reconciled_cpu_us: float = _assume(
        57, "µs of CPU time for each entry that `reconcile` compares (measured by hand: docs/reconcile.md)"
    )
    reconciled_share: float = _assume(
        1.5, "times an hour's entries that `reconcile` reads of each copy, since segments begin before the hour"
    )
    other_metrics: float = _assume(50, "custom metrics besides those that `evaluate` writes for each node")
    alarms: float = _assume(71, "alarms")
    counted_groups: float = _assume(
        0.1,
        "groups (identities, addresses) per record a second that hold at least a quarter of a threshold in each "
        "window, but not all of it",
    )
    shares: float = _assume(
        8, "writes for each such group and window: `evaluate` and `sweep` add it at each quarter of the threshold"
    )
    share_ms: float = _assume(10, "ms that such a write takes")
    key_requests_an_hour: float = _assume(
        120, "KMS requests per hour: ten users, each with data keys reused for 5 minutes"
    )
    pollers: float = _assume(5, "long polls of 20 s that Lambda keeps open at each of five queues")


@dataclass(frozen=True)
class Sample:
    """The average frame of one size: its lines, its bytes, and the CPU milliseconds to evaluate it."""

    lines: float
    bytes: float
    cpu_ms: float


@dataclass(frozen=True)
class Measured:
    """What the bench measured: sizes in bytes, and samples of frames with more and more lines, the last one full."""

    record_bytes: float
    alert_bytes: float
    segment_ratio: float
    log_bytes: float
    metrics: int
    record_cpu_ms: float
    samples: tuple[Sample, ...]

    def sample(self, rate: float) -> Sample:
        """Return the frames that `ship` closes at this rate: after a second, or when full."""
        return next((one for one in self.samples if one.lines >= LANES * rate), self.samples[-1])


def read(frames: Mapping[str, Any]) -> Measured:
    """Read what `bench.frames` measured."""
    sizes, logged = frames["sizes"], frames["logged"]
    records = sizes["raw_bytes"] / sizes["record_bytes"]
    return Measured(
        record_bytes=sizes["record_bytes"],
        alert_bytes=sizes["alert_bytes"],
        segment_ratio=sizes["segment_ratio"],
        log_bytes=logged["log_bytes"],
        metrics=logged["metrics"],
        record_cpu_ms=1000 * frames["seconds"]["evaluate lines"] / records,
        samples=tuple(Sample(**sample) for sample in frames["per_frame"]),
    )


@dataclass(frozen=True)
class Model:
    """The cost of a month in USD at a rate in records per second. The fixed cost is that of rate 0."""

    measured: Measured
    assumed: Assumptions = Assumptions()
    settings: Settings = field(default_factory=Settings)

    def bill(self, rate: float) -> dict[str, float]:
        """Return everything but the storage of the archive, by service."""
        return {
            "Kinesis: shards, 7 days of retention": self._shards(rate),
            "Kinesis: PUT payload units": self._put_units(rate),
            "Lambda: evaluate": self._evaluate(rate),
            "Lambda: sweep": self._sweep(rate),
            "Lambda, S3: reconcile": self._reconcile(rate),
            "Lambda: digest, notify": self._digest_and_notify(rate),
            "DynamoDB": self._dynamodb(rate),
            COUNTING: self._counting(rate),
            "SNS, e-mail": self._sns(rate),
            "SQS, EventBridge": self._queues(rate),
            "Firehose": self._alerts(rate) * self._firehose_bytes() / GIB * usd.FIREHOSE.usd,
            "S3: requests, transitions": self._objects(rate) * _AN_OBJECT,
            "CloudWatch: logs": self._logs(rate),
            "CloudWatch: metrics, alarms": self._watch(),
            "KMS, Secrets Manager": self._keys(),
        }

    def fixed(self) -> dict[str, float]:
        """Return what is paid without any record."""
        return self.bill(0)

    def variable(self, rate: float) -> dict[str, float]:
        """Return what the records add to the fixed cost."""
        fixed = self.fixed()
        return {name: cost - fixed[name] for name, cost in self.bill(rate).items()}

    def stored(self, rate: float) -> dict[str, float]:
        """Return the cost of the archive's storage in the month at the end of its first year, by storage class."""
        gib_a_day = rate * 86_400 * self.measured.record_bytes * ARCHIVES / self.measured.segment_ratio / GIB
        ages = (
            ("S3 STANDARD", 0, self.settings.archive_infrequent_access_days, usd.STANDARD),
            (
                "S3 STANDARD_IA",
                self.settings.archive_infrequent_access_days,
                self.settings.archive_glacier_days,
                usd.INFREQUENT,
            ),
            ("S3 GLACIER", self.settings.archive_glacier_days, 365, usd.GLACIER),
        )
        return {name: gib_a_day * (until - since) * price.usd for name, since, until, price in ages}

    def _frames(self, rate: float) -> float:
        """Frames per month, without heartbeats."""
        return LANES * rate / self.measured.sample(rate).lines * SECONDS

    def _heartbeats(self) -> float:
        return SECONDS / 60

    def _alerts(self, rate: float) -> float:
        return rate * self.assumed.alerts_per_million / 1e6 * SECONDS

    def _shards(self, rate: float) -> float:
        bytes_a_second = self._frames(rate) / SECONDS * self.measured.sample(rate).bytes
        shards = max(1, ceil(bytes_a_second / (self.assumed.shard_fill * SHARD_BYTES_A_SECOND)))
        return shards * HOURS * (usd.SHARD_HOUR.usd + usd.RETENTION.usd)

    def _put_units(self, rate: float) -> float:
        units = ceil(self.measured.sample(rate).bytes / PUT_UNIT_BYTES)
        return (self._frames(rate) * units + self._heartbeats()) * usd.PUT_UNIT.usd

    def _lambda(self, calls: float, cpu_ms: float, memory_mib: float, longest_ms: float = inf) -> float:
        """Invocations with this CPU time each, of a function that has a share of a core, until they are ended."""
        core = min(1.0, memory_mib / CORE_MIB)
        milliseconds = self.assumed.call_ms + cpu_ms * self.assumed.arm_slowness / core
        return self._calls(calls, min(milliseconds, longest_ms), memory_mib)

    @staticmethod
    def _calls(calls: float, milliseconds: float, memory_mib: float) -> float:
        gib_seconds = calls * milliseconds / 1000 * memory_mib / 1024
        return calls * usd.REQUEST.usd + gib_seconds * usd.GB_SECOND.usd

    def _evaluate(self, rate: float) -> float:
        memory = self.settings.evaluate_memory_mib
        heartbeats = self._lambda(self._heartbeats(), 0.0, memory)
        return heartbeats + self._lambda(self._frames(rate), self.measured.sample(rate).cpu_ms, memory)

    def _objects(self, rate: float) -> float:
        """Segments per month: from the log server one per hour, from the node one every five minutes, or full ones."""
        if not rate:
            return 0.0
        full = rate * SECONDS * self.measured.record_bytes / MAX_SEGMENT_BYTES
        return max(HOURS, full) + max(HOURS * 12, full)

    def _sweep(self, rate: float) -> float:
        memory, records = self.settings.sweep_memory_mib, rate * SECONDS * ARCHIVES
        objects = self._objects(rate)
        return self._lambda(objects, records * self.measured.record_cpu_ms / objects if objects else 0.0, memory)

    def _reconcile(self, rate: float) -> float:
        """The comparison of each hour's copies, and the lists of their segments: three days of each host."""
        if not self.settings.reconcile:
            return 0.0
        entries = rate * 3600 * ARCHIVES * self.assumed.reconciled_share
        cpu_ms = entries * self.assumed.reconciled_cpu_us / 1000
        lists = HOURS * (ARCHIVES + 3 * (1 + self.assumed.nodes)) * usd.PUT.usd
        return self._lambda(HOURS, cpu_ms, self.settings.reconcile_memory_mib, RECONCILE_SECONDS * 1000.0) + lists

    def _digest_and_notify(self, rate: float) -> float:
        notified = self._alerts(rate) * self.assumed.notified
        return self._calls(SECONDS / 60, self.assumed.digest_ms, 512) + self._calls(
            notified, self.assumed.notify_ms, 256
        )

    def _dynamodb(self, rate: float) -> float:
        """Rows of an alert, its notification, its group and its rule; the three later copies only read them."""
        alerts, kib = self._alerts(rate), ceil(self.measured.alert_bytes / 1024)
        writes = alerts * (2 * kib + 2) * self.assumed.write_factor * self.assumed.row_factor
        reads = alerts * (LANES + ARCHIVES) * (2 * ceil(kib / 4) + 2) * 2
        polls = SECONDS / 60 * 3 * CALENDARS
        gib = alerts / DAYS * self.settings.alert_memory_days * self.measured.alert_bytes * 2 / GIB
        stored = gib * (usd.TABLE.usd + usd.RECOVERY.usd)
        return writes * usd.WRITE.usd + (reads + polls) * usd.READ.usd + stored

    def _counting(self, rate: float) -> float:
        """Counts of correlations that are shared through the table, one write unit each, and the time of the calls."""
        writes = self._counting_writes(rate)
        seconds = writes * self.assumed.share_ms / 1000
        return writes * usd.WRITE.usd + seconds * self.settings.sweep_memory_mib / 1024 * usd.GB_SECOND.usd

    def _counting_writes(self, rate: float) -> float:
        windows = SECONDS / (WINDOW_SECONDS / 2)
        return self.assumed.counted_groups * rate * windows * self.assumed.shares

    def _sns(self, rate: float) -> float:
        """Only what people are notified of goes through SNS; every other alert goes to Firehose directly."""
        notified = self._alerts(rate) * self.assumed.notified
        return notified * (usd.PUBLISH.usd + usd.TO_FIREHOSE.usd + self.assumed.emails * usd.MAIL.usd)

    def _queues(self, rate: float) -> float:
        polls = 5 * self.assumed.pollers * SECONDS / 20
        messages = self._objects(rate) + self._alerts(rate) * self.assumed.notified
        return (polls + 3 * messages) * usd.QUEUE.usd + self._objects(rate) * usd.EVENT.usd

    def _firehose_bytes(self) -> float:
        return 5120 * ceil(self.measured.alert_bytes / 5120)

    def _logs(self, rate: float) -> float:
        calls = self._frames(rate) + self._heartbeats() * 2 + self._objects(rate)
        return calls * (self.measured.log_bytes + self.assumed.call_log_bytes) / GIB * usd.LOG.usd

    def _watch(self) -> float:
        metrics = self.measured.metrics * self.assumed.nodes + self.assumed.other_metrics
        return metrics * usd.METRIC.usd + self.assumed.alarms * usd.ALARM.usd

    def _keys(self) -> float:
        requests = HOURS * self.assumed.key_requests_an_hour * usd.KEY_REQUEST.usd
        return 3 * usd.KEY.usd + requests + 3 * usd.SECRET.usd + HOURS * 12 * usd.SECRET_REQUEST.usd
