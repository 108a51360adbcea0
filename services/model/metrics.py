"""Counts of calls in Prometheus' text format."""

import collections
import http.server
import threading

BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5)
"""The upper bounds of the latency histogram, in seconds."""


class Metrics:
    """Counts calls by method and code."""

    def __init__(self):
        self._lock = threading.Lock()
        self._handled: collections.Counter[tuple[str, str]] = collections.Counter()
        self._seconds: dict[str, list[float]] = {}
        self._buckets: dict[str, list[int]] = {}

    def observe(self, method: str, code: str, seconds: float) -> None:
        """Counts one call."""
        with self._lock:
            self._handled[method, code] += 1
            total = self._seconds.setdefault(method, [0.0, 0])
            total[0] += seconds
            total[1] += 1
            buckets = self._buckets.setdefault(method, [0] * len(BUCKETS))
            for index, bound in enumerate(BUCKETS):
                buckets[index] += seconds <= bound

    def text(self) -> str:
        """All counts."""
        with self._lock:
            lines = ["# TYPE grpc_server_handled_total counter"]
            for (method, code), count in sorted(self._handled.items()):
                lines.append(f'grpc_server_handled_total{{method="{method}",code="{code}"}} {count}')
            lines.append("# TYPE grpc_server_handling_seconds histogram")
            for method, (seconds, count) in sorted(self._seconds.items()):
                name = "grpc_server_handling_seconds"
                for bound, below in zip(BUCKETS, self._buckets[method]):
                    lines.append(f'{name}_bucket{{method="{method}",le="{bound}"}} {below}')
                lines.append(f'{name}_bucket{{method="{method}",le="+Inf"}} {count}')
                lines.append(f'{name}_sum{{method="{method}"}} {seconds}')
                lines.append(f'{name}_count{{method="{method}"}} {count}')
        return "\n".join(lines) + "\n"

    def serve(self, port: int) -> None:
        """Answers GET /metrics on a thread of its own, as long as the process lives."""
        server = http.server.ThreadingHTTPServer(("0.0.0.0", port), self._handler())
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        metrics = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802 (the library's name)
                if self.path != "/metrics":
                    self.send_error(404)
                    return
                body = metrics.text().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        return Handler
