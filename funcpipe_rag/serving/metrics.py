"""What a service counts, as text that Prometheus reads."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .audit import AuditLog

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The upper bounds of the latency histogram, in seconds."""


class Metrics:
    """Counts of one process; each connection kind says what it takes and what it answers.

    >>> metrics = Metrics()
    >>> metrics.begun("http")
    >>> metrics.answered("http", "ok", 0.003)
    >>> [line for line in metrics.text().splitlines() if "requests_total{" in line or 'le="0.005"' in line]
    ['funcpipe_requests_total{connection="http",status="ok"} 1', 'funcpipe_request_seconds_bucket{connection="http",le="0.005"} 1']

    What is turned away unread was never in flight and has no latency.

    >>> metrics.refused("tcp", "shed")
    >>> metrics.in_flight["tcp"], metrics.answers["tcp", "shed"]
    (0, 1)

    Class: observer. Memory: some numbers a connection kind and status.
    """

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, str]] = Counter()
        self.in_flight: Counter[str] = Counter()
        self.connections: Counter[str] = Counter()
        self.audit_records = 0
        self._buckets: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(BOUNDS) + 1))
        self._seconds: Counter[str] = Counter()

    def begun(self, connection: str) -> None:
        """A request was taken."""
        self.in_flight[connection] += 1

    def answered(self, connection: str, status: str, seconds: float) -> None:
        """A request that was taken has been answered, so many seconds later."""
        self.in_flight[connection] -= 1
        self.answers[connection, status] += 1
        self._buckets[connection][bisect_left(BOUNDS, seconds)] += 1
        self._seconds[connection] += seconds  # type: ignore[assignment]  # a Counter counts any number

    def dropped(self, connection: str, many: int) -> None:
        """So many requests that were taken have lost their client before their answer."""
        self.in_flight[connection] -= many
        if many:
            self.answers[connection, "dropped"] += many

    def refused(self, connection: str, status: str) -> None:
        """A request was answered without being taken."""
        self.answers[connection, status] += 1

    def text(self) -> str:
        """All of it, in the text format of version 0.0.4."""
        lines: list[str] = []

        def family(name: str, kind: str, about: str) -> None:
            lines.append(f"# HELP funcpipe_{name} {about}")
            lines.append(f"# TYPE funcpipe_{name} {kind}")

        family("requests_total", "counter", "Requests that were answered or turned away, by status.")
        for (connection, status), many in sorted(self.answers.items()):
            lines.append(f'funcpipe_requests_total{{connection="{connection}",status="{status}"}} {many}')
        family(
            "requests_shed_total", "counter", "Requests that were turned away because there were too many."
        )
        shed = sum(many for (_, status), many in self.answers.items() if status == "shed")
        lines.append(f"funcpipe_requests_shed_total {shed}")
        family("requests_in_flight", "gauge", "Requests that were taken and are not answered yet.")
        for connection, many in sorted(self.in_flight.items()):
            lines.append(f'funcpipe_requests_in_flight{{connection="{connection}"}} {many}')
        family("connections", "gauge", "Connections that are open.")
        for connection, many in sorted(self.connections.items()):
            lines.append(f'funcpipe_connections{{connection="{connection}"}} {many}')
        family("audit_records_total", "counter", "Records that went to the audit trail.")
        lines.append(f"funcpipe_audit_records_total {self.audit_records}")
        family("request_seconds", "histogram", "From taking a request to the end of its answer, in seconds.")
        for connection, buckets in sorted(self._buckets.items()):
            total = 0
            for bound, many in zip([*BOUNDS, "+Inf"], buckets, strict=True):
                total += many
                lines.append(
                    f'funcpipe_request_seconds_bucket{{connection="{connection}",le="{bound}"}} {total}'
                )
            lines.append(
                f'funcpipe_request_seconds_sum{{connection="{connection}"}} {self._seconds[connection]:.6f}'
            )
            lines.append(f'funcpipe_request_seconds_count{{connection="{connection}"}} {total}')
        return "\n".join(lines) + "\n"


class CountedLog:
    """An audit log whose records are counted."""

    def __init__(self, log: AuditLog, metrics: Metrics) -> None:
        self._log, self._metrics = log, metrics
        self.clock = log.clock

    def note(self, stage: str, request_id: str | None, began: float, ended: float, last: bool) -> None:
        """Count one record, and hand it on."""
        self._metrics.audit_records += 1
        self._log.note(stage, request_id, began, ended, last)
