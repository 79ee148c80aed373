"""Traces reach whoever takes them, with the caller's trace as parent; who does not take them disturbs nothing."""

import gzip
import http.server
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from serving import ROOT, SECONDS_MAX, Service

from cashman.observability import traces

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Collector(http.server.ThreadingHTTPServer):
    """Takes traces, as OpenTelemetry's own collector does."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            server: Collector

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    (name,) = [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"]
                    self.server.spans += [(name, span) for scope in resource.scope_spans for span in scope.spans]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def post(service: Service, path: str, headers: dict[str, str]) -> int:
    connection = service.connect()
    body = json.dumps({"description": "Hunter2", "amount": 5})
    connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
    status = connection.getresponse().status
    connection.close()
    return status


def test_requests_and_commits_are_spans_of_the_callers_trace(collector: Collector, tmp_path: Path) -> None:
    service = Service(
        tmp_path, f"sqlite:///{tmp_path / 'cashman.db'}", CASHMAN_LOG="json",
        **{ENDPOINT: f"http://127.0.0.1:{collector.server_port}", "OTEL_BSP_SCHEDULE_DELAY": "200"},
    )  # fmt: skip
    try:
        assert post(service, "/expenses", {"traceparent": f"00-{TRACE}-{CALLER}-01"}) == 204
        assert post(service, "/Hunter2?q=Hunter2", {"User-Agent": "Hunter2"}) == 404
        assert service.request("GET", "/readyz")[0] == 200
        deadline = time.monotonic() + SECONDS_MAX
        while not {"POST /expenses", "commit", "POST unmatched"} <= {span.name for _, span in collector.spans}:
            assert time.monotonic() < deadline, service.log.read_text()
            time.sleep(0.1)
    finally:
        assert service.stop() == 0
        service.remove()
    assert {name for name, _ in collector.spans} == {"cashman"}
    spans = {span.name: span for _, span in collector.spans if span.trace_id.hex() == TRACE}
    outer, commit = spans["POST /expenses"], spans["commit"]
    assert outer.parent_span_id.hex() == CALLER
    assert commit.parent_span_id == outer.span_id
    assert {a.key: a.value.int_value for a in commit.attributes} == {"cashman.commit.changes": 1}
    assert {a.key: a.value.string_value for a in outer.attributes}["http.route"] == "/expenses"
    assert not [span for _, span in collector.spans if "Hunter2" in str(span) or "readyz" in span.name]
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    assert TRACE in [line.get("trace_id") for line in lines], "the log says which trace a request belongs to"


def test_who_takes_no_traces_holds_up_no_request_and_no_end(tmp_path: Path) -> None:
    """It listens, and never answers."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        service = Service(
            tmp_path, f"sqlite:///{tmp_path / 'cashman.db'}", CASHMAN_LOG="json",
            **{ENDPOINT: f"http://127.0.0.1:{silent.getsockname()[1]}", "OTEL_BSP_SCHEDULE_DELAY": "100"},
        )  # fmt: skip
        try:
            for _ in range(10):
                began = time.monotonic()
                assert post(service, "/expenses", {}) == 204
                assert time.monotonic() - began < 5
                time.sleep(0.05)
            began = time.monotonic()
            assert service.stop() == 0
            assert time.monotonic() - began < 10
        finally:
            service.remove()
    for line in service.log.read_text().splitlines():
        json.loads(line)


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({ENDPOINT: ""}, False),
        ({ENDPOINT: "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({ENDPOINT: "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({ENDPOINT: "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_traces_are_wanted_where_their_endpoint_is_set(environment: dict[str, str], wanted: bool) -> None:
    assert traces.wanted(environment) is wanted


def test_nothing_of_it_is_loaded_without_an_endpoint() -> None:
    code = "import sys, cashman.index; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
