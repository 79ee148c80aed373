"""Whether the service is alive, whether it is ready, and what it counts."""

import logging
from typing import Any, Final

from flask import Blueprint, Response, current_app, request

from cashman import current, migrations
from cashman.access import OPEN_DOOR
from cashman.answers import encode_json
from cashman.config import Config
from cashman.contracts import JSON, NO_STORE, contract
from cashman.db import Database
from cashman.door import admit, check_administrator, is_this_machine
from cashman.errors import Forbidden, InvalidToken, NotFound, NotReady, Unauthenticated
from cashman.ledger import Books
from cashman.limits import RETRY_AFTER_SECONDS, WRITER_SECONDS_MAX
from cashman.observability import requests
from cashman.translations import message

log = logging.getLogger(__name__)

bp = Blueprint("health", __name__)

KEY: Final = "cashman.disk_free_min"
MEGABYTE: Final = 1_000_000
FREE_FILES_MIN: Final = 10


def init_app(app: Any, settings: Config) -> None:
    """Tell an app how much of the disk has to be free."""
    app.extensions[KEY] = settings.disk_free_min


@bp.get("/healthz")
@contract(needs="anyone", answers={200: "Alive."}, gives={JSON: {"schema": {"type": "object"}}})
def get_health() -> Response:
    """Say that the process answers; touches nothing."""
    return Response(b'{"status":"alive"}', mimetype=JSON)


@bp.get("/readyz")
@contract(
    needs="anyone",
    answers={200: "Ready, and what was checked."},
    gives={JSON: {"schema": {"type": "object"}}},
    problems=(NotReady,),
)
def get_readiness() -> Response:
    """Say whether requests can be served: database, migrations, disk and writer."""
    checks = readiness(current.books(), current_app.extensions[KEY])
    failed = {name: [reason] for name, reason in checks.items() if reason is not None}
    if failed:
        raise NotReady(errors=failed, headers={"Retry-After": str(RETRY_AFTER_SECONDS), **NO_STORE})
    told = {"status": "ready", "checks": dict.fromkeys(checks, "ok")}
    return Response(encode_json(told), mimetype=JSON, headers=NO_STORE)


@bp.get("/metrics")
@contract(
    needs="anyone",
    answers={200: "Counts and times of all workers, in Prometheus' format."},
    gives={"text/plain": {"schema": {"type": "string"}}},
    problems=(Unauthenticated, InvalidToken, Forbidden, NotFound),
)
def get_metrics() -> Response:
    """Show what is counted and timed: to this machine, and to administrators."""
    watch = requests.watch()
    metrics = watch.metrics()
    if metrics is None:
        raise NotFound()
    if watch.metrics_for != "open" and not is_this_machine():
        admit("account")
        if current.caller() is not OPEN_DOOR:
            check_administrator(current.caller())
    body, media_type = metrics.exposition(current.books(), request.headers.get("Accept", ""))
    return Response(body, content_type=media_type, headers=NO_STORE)


def readiness(books: Books, free_megabytes_min: int) -> dict[str, str | None]:
    """What is checked, each with the reason why it fails; None where it is well."""
    return {**_of_database(books.database, free_megabytes_min), "writer": _of_writer(books.writer.seconds)}


def _of_database(database: Database, free_megabytes_min: int) -> dict[str, str | None]:
    try:
        found = database.probe()
    except TimeoutError:
        return {"database": message("It does not answer.")}
    except Exception as error:
        # Nothing for strangers: it may name hosts and paths.
        log.warning("the database is out of reach: %s", getattr(error, "orig", error))
        return {"database": message("It is out of reach.")}
    return {
        "database": None if found.writable else message("It can only be read."),
        "migrations": _of_schema(found.revision),
        "disk": _of_disk(found.free_bytes, found.free_files, free_megabytes_min),
    }


def _of_schema(revision: str | None) -> str | None:
    """A newer schema is one that the release before it can still work on."""
    if revision is not None and revision >= migrations.HEAD:
        return None
    return message("The schema is at {found}, and has to be at {needed}.", found=revision or 0, needed=migrations.HEAD)


def _of_disk(free_bytes: int | None, free_files: int | None, free_megabytes_min: int) -> str | None:
    if not free_megabytes_min:
        return None
    if free_bytes is not None and free_bytes < free_megabytes_min * MEGABYTE:
        return message("Less than {megabytes} MB are free.", megabytes=free_megabytes_min)
    if free_files is not None and free_files < FREE_FILES_MIN:
        return message("The file system can hold no more files.")
    return None


def _of_writer(seconds: float) -> str | None:
    if seconds <= WRITER_SECONDS_MAX:
        return None
    return message("A commit has been under way for {seconds} seconds.", seconds=int(seconds))
