"""Traces over OTLP/HTTP, by OpenTelemetry's own settings; without its endpoint nothing of it is even loaded."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from flask import Flask, request

from cashman import __version__, current
from cashman.observability.requests import METHODS, OTHER, route, watch

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROBES: Final = "^[a-z]+://[^/?]+/(healthz|readyz|metrics)/?([?]|$)"
_OF_CLIENTS: Final = (
    "http.target", "http.url", "url.full", "url.path", "url.query", "http.user_agent", "user_agent.original",
)  # fmt: skip
"""What the instrumentation notes of a request as its client wrote it: paths and queries say what somebody looks for."""


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether an environment names somebody to send traces to."""
    off = (
        environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get("OTEL_TRACES_EXPORTER") == "none"
    )
    return not off and any(environment.get(name) for name in _ENDPOINTS)


def start(app: Flask) -> Callable[[], None]:
    """Send a span for each request and each commit of an app; gives what ends that, and sends what is left.

    To be called in the process that serves, before its first request: sending has a thread of its own.
    """
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.flask import FlaskInstrumentor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.version": __version__})
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": "cashman"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)  # or a dead collector would hold up the end
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    FlaskInstrumentor.instrument_app(app, tracer_provider=provider, excluded_urls=_PROBES, enable_commenter=False)

    def hide() -> None:
        span: Any = trace.get_current_span()
        if not span.is_recording():
            return
        method = request.method if request.method in METHODS else OTHER
        span.update_name(f"{method} {route()}")
        span.set_attribute("http.route", route())
        for name in _OF_CLIENTS:
            if name in span.attributes:
                span.set_attribute(name, route())

    # The span has to be there before anything that may refuse the request.
    hooks = app.before_request_funcs[None]
    hooks[:0] = [hooks.pop(), hide]

    tracer = provider.get_tracer("cashman", __version__)

    def around(changes: int, commit: Callable[[], Sequence[Any]]) -> Sequence[Any]:
        with tracer.start_as_current_span("commit", attributes={"cashman.commit.changes": changes}):
            return commit()

    def trace_id() -> str | None:
        context = trace.get_current_span().get_span_context()
        return format(context.trace_id, "032x") if context.is_valid else None

    current.books(app).writer.surround(around)
    watch(app).trace_id = trace_id
    return provider.shutdown
