"""A gRPC server as every Python service here runs it: health, reflection, structured logs, metrics, graceful end."""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import signal
import sys
import threading
import time

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.model.metrics import Metrics

GRACE = 10
"""How many seconds running calls may take once the end was asked for."""


def log(level: str, message: str, **fields: object) -> None:
    """Writes one line of JSON."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    print(json.dumps({"time": at, "level": level, "msg": message, **fields}), flush=True)


def code_version(folder: pathlib.Path) -> str:
    """CODE_VERSION, or else the hash of the folder's Python sources: the same wherever the same code runs."""
    if named := os.environ.get("CODE_VERSION"):
        return named
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


class _Observer(grpc.ServerInterceptor):
    """Logs and counts every unary call."""

    def __init__(self, service: str, metrics: Metrics):
        self._service = service
        self._metrics = metrics

    def intercept_service(self, continuation, details):
        handler = continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler

        def observed(request, context):
            start = time.monotonic()
            try:
                return handler.unary_unary(request, context)
            finally:
                self._note(details.method, context, time.monotonic() - start)

        return grpc.unary_unary_rpc_method_handler(
            observed, handler.request_deserializer, handler.response_serializer
        )

    def _note(self, method: str, context: grpc.ServicerContext, took: float) -> None:
        failing = sys.exc_info()[0] is not None
        code = context.code() or (grpc.StatusCode.UNKNOWN if failing else grpc.StatusCode.OK)
        name = code.name.title().replace("_", "") if code != grpc.StatusCode.OK else "OK"
        self._metrics.observe(method, name, took)
        if code != grpc.StatusCode.OK or not method.startswith("/grpc.health"):
            level = "INFO" if code == grpc.StatusCode.OK else "ERROR"
            log(level, "call", service=self._service, method=method, code=name, ms=round(took * 1000))


def serve(service: str, full_name: str, port: str, register) -> None:
    """Serves what `register(server)` adds until SIGTERM or SIGINT. `GRPC_PORT` and `METRICS_PORT` name the ports."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())

    metrics = Metrics()
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=8)
    server = grpc.server(pool, interceptors=[_Observer(service, metrics)])
    checks = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflection.enable_server_reflection(
        (full_name, health.SERVICE_NAME, reflection.SERVICE_NAME), server
    )
    register(server)

    address = f"0.0.0.0:{os.environ.get('GRPC_PORT') or port}"
    server.add_insecure_port(address)
    if metrics_port := os.environ.get("METRICS_PORT"):
        metrics.serve(int(metrics_port))
    server.start()
    checks.set("", health_pb2.HealthCheckResponse.SERVING)
    log("INFO", "serving", service=service, address=address)
    ended.wait()

    log("INFO", "stopping", service=service)
    checks.enter_graceful_shutdown()
    server.stop(GRACE).wait()
    log("INFO", "stopped", service=service)
