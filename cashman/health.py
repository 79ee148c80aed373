"""Whether the service is alive."""

from flask import Blueprint, Response

from cashman.contracts import JSON, contract

bp = Blueprint("health", __name__)


@bp.get("/healthz")
@contract(needs="anyone", answers={200: "Alive."}, gives={JSON: {"schema": {"type": "object"}}})
def get_health() -> Response:
    """Say that the process answers; touches nothing."""
    return Response(b'{"status":"alive"}', mimetype=JSON)
