"""How a command reaches the books: over HTTP where `--url` says so, else through the same service in this process."""

import contextlib
import os
import re
import ssl
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from http import HTTPStatus
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from urllib.error import HTTPError, URLError
from urllib.parse import parse_qsl, urlencode, urlsplit

import click
import msgspec

from cashman import __version__
from cashman.errors import ConfigurationError, Problem

if TYPE_CHECKING:  # at run time only where the books are here: SQLAlchemy and Flask are most of a start
    from flask import Flask
    from werkzeug.test import TestResponse

    from cashman.access import Access, Caller
    from cashman.ledger import Books

COMMAND_LINE: Final = "command line"
"""The actor in the journal."""
SECONDS_MAX: Final = 60
"""How long a service may take until it says something."""
IMPORT_SECONDS_MAX: Final = 600
CHUNK_BYTES: Final = 65_536

_read: Final = msgspec.json.Decoder(float_hook=Decimal).decode
_read_array: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_NEXT: Final = re.compile(r'<[^?>]*\?([^>]*)>; rel="next"')

Query = Iterable[tuple[str, str]]


class Refused(Exception):
    """What the service says no to, as it says it (RFC 9457)."""

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        super().__init__(document.get("detail") or document.get("title") or f"the service answers {status}")
        self.status = status
        self.document = document
        self.slug = str(document.get("type", "")).rpartition("/")[2]
        errors = document.get("errors")
        self.errors: Mapping[str, Any] = errors if isinstance(errors, dict) else {}


class Unreachable(Exception):
    """The service cannot be asked, or what answers is none."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service answers; its body can be gone through once."""

    status: int
    headers: Any
    """A mapping in which the case of names does not matter."""
    parts: Iterable[bytes]

    def body(self) -> bytes:
        """All of it."""
        return b"".join(self.parts)

    def document(self) -> Any:
        """The JSON document that it is; numbers with decimals are exact."""
        return _decoded(_read, self.body())

    def rows(self) -> list[msgspec.Raw]:
        """The members of the JSON array that it is, as they are written."""
        rows: list[msgspec.Raw] = _decoded(_read_array, self.body())
        return rows

    def next_query(self) -> list[tuple[str, str]] | None:
        """What the next page is asked for with, where there is one."""
        link = _NEXT.search(self.headers.get("Link", ""))
        return None if link is None else parse_qsl(link[1], keep_blank_values=True)


def _decoded(decode: Any, body: bytes) -> Any:
    try:
        return decode(body)
    except (msgspec.DecodeError, ValueError) as error:
        raise Unreachable(f"the answer is none of a Cashman: {error}") from None


def read_row(row: msgspec.Raw) -> Any:
    """One member of an array, with exact numbers."""
    return _read(row)


class Service(ABC):
    """Whatever answers requests as the API does."""

    def __init__(self, ledger: str | None) -> None:
        self._prefix = "" if ledger is None else f"/ledgers/{ledger}"

    def request(
        self,
        method: str,
        path: str,
        query: Query = (),
        body: bytes | BinaryIO | None = None,
        headers: Mapping[str, str] | None = None,
        seconds_max: int = SECONDS_MAX,
    ) -> Answer:
        """Ask for something of the ledger; raises Refused where it is not given, Unreachable where nobody answers."""
        encoded = urlencode(list(query))
        target = f"{self._prefix}{path}{'?' if encoded else ''}{encoded}"
        answer = self._send(method, target, body, dict(headers or {}), seconds_max)
        if answer.status < HTTPStatus.MULTIPLE_CHOICES:
            return answer
        body = answer.body()
        if answer.status < HTTPStatus.BAD_REQUEST:
            told = answer.headers.get("Location", "elsewhere")
            raise Unreachable(f"the service sends us on to {told}, which is not followed: give that as --url")
        raise _refused(answer, body)

    def pages(self, path: str, query: Query = ()) -> Iterator[Answer]:
        """A list, page by page."""
        following: Query | None = query
        while following is not None:
            answer = self.request("GET", path, following)
            yield answer
            following = answer.next_query()

    @abstractmethod
    def _send(
        self, method: str, target: str, body: bytes | BinaryIO | None, headers: dict[str, str], seconds_max: int
    ) -> Answer: ...


def _refused(answer: Answer, body: bytes) -> Refused:
    document: Any = None
    if answer.headers.get("Content-Type", "").startswith("application/problem+json"):
        document = _decoded(_read, body)
    if not isinstance(document, dict):
        phrase = HTTPStatus(answer.status).phrase if answer.status in set(HTTPStatus) else ""
        document = {"detail": f"the service answers {answer.status} {phrase}".rstrip()}
    return Refused(answer.status, document)


class Remote(Service):
    """A service somewhere, over HTTP: TLS is verified, and no redirect takes the key elsewhere."""

    def __init__(self, url: str, key: str | None, ledger: str | None) -> None:
        super().__init__(ledger)
        self._url = url.rstrip("/")
        self._key = key
        tls = urllib.request.HTTPSHandler(context=ssl.create_default_context())
        self._opener = urllib.request.build_opener(_StayHere, tls)

    def _send(
        self, method: str, target: str, body: bytes | BinaryIO | None, headers: dict[str, str], seconds_max: int
    ) -> Answer:
        headers["User-Agent"] = f"cashman/{__version__}"
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(self._url + target, body, headers, method=method)
        try:
            answer = self._opener.open(request, timeout=seconds_max)
        except HTTPError as error:
            answer = error
        except URLError as error:
            raise Unreachable(f"{self._url} cannot be reached: {error.reason}") from None
        except (OSError, HTTPException) as error:
            raise Unreachable(f"{self._url} cannot be reached: {error or type(error).__name__}") from None
        return Answer(answer.status, answer.headers, self._parts(answer))

    def _parts(self, answer: Any) -> Iterator[bytes]:
        with answer:
            try:
                while part := answer.read(CHUNK_BYTES):
                    yield part
                if getattr(answer, "length", None):  # what was promised, and did not come
                    raise HTTPException("it is not all of it")
            except (OSError, HTTPException) as error:
                raise Unreachable(f"the answer of {self._url} breaks off: {error}") from None


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: whoever is at the other end would be given the key."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Local(Service):
    """The service in this process, on the books that the settings name."""

    def __init__(self, ledger: str | None, *, makes: bool) -> None:
        from werkzeug.test import Client

        from cashman import current
        from cashman.door import CALLER_KEY

        super().__init__(ledger)
        app = make_app()
        books = current.books(app)
        if not books.database.exists():
            if not makes:
                raise ConfigurationError(NO_BOOKS)
            click.echo("cashman: there were no books where CASHMAN_DATABASE_URL says; new ones are made", err=True)
        self.books = books
        self._client = Client(app)
        self.caller = _owner_of(books, ledger)
        self._environ = {CALLER_KEY: self.caller}

    def _send(
        self, method: str, target: str, body: bytes | BinaryIO | None, headers: dict[str, str], seconds_max: int
    ) -> Answer:
        answer = self._client.open(
            target, method=method, headers=headers, environ_overrides=self._environ, **_input(body, headers)
        )
        return Answer(answer.status_code, answer.headers, self._parts(answer))

    def _parts(self, answer: "TestResponse") -> Iterator[bytes]:
        with contextlib.closing(answer):
            try:
                yield from answer.iter_encoded()
            except (Problem, OSError) as error:  # an export that is under way can fail yet
                raise Unreachable(f"the answer breaks off: {error}") from None


NO_BOOKS: Final = "there are no books where CASHMAN_DATABASE_URL says"


def _input(body: bytes | BinaryIO | None, headers: Mapping[str, str]) -> dict[str, Any]:
    if body is None or isinstance(body, bytes):
        return {"data": body}
    return {"input_stream": body, "content_length": int(headers["Content-Length"])}


def make_app() -> "Flask":
    """The service as the settings have it."""
    from cashman.index import create_app

    return create_app(os.environ)


def _owner_of(books: "Books", ledger: str | None) -> "Caller":
    """Whoever may all in a ledger: on this machine, that is who runs the command line."""
    from sqlalchemy import select

    from cashman.access import Caller
    from cashman.changes import OWNER
    from cashman.db import table
    from cashman.ledger import OWN_LEDGER
    from cashman.model.access import Member
    from cashman.model.ledger import LedgerRecord

    members, ledgers = table(Member), table(LedgerRecord)
    wanted = ledgers.c.id == OWN_LEDGER if ledger is None else ledgers.c.ulid == ledger
    owners = (
        select(members.c.principal, members.c.ledger_id)
        .join(ledgers, ledgers.c.id == members.c.ledger_id)
        .where(wanted, members.c.role == "owner")
        .order_by(members.c.principal != OWNER, members.c.principal)
        .limit(1)
    )
    found = books.database.read(lambda connection: connection.execute(owners).one_or_none())
    if found is None:
        raise ConfigurationError(f"there is no ledger {ledger} in these books")
    return Caller(found.principal, COMMAND_LINE, admin=True, home=found.ledger_id)


# What a command asks for.


@dataclass(frozen=True, slots=True)
class Reach:
    """Where the command line is told that the books are."""

    url: str | None = None
    key: str | None = None
    ledger: str | None = None


def _reach() -> Reach:
    context = click.get_current_context(silent=True)
    told = None if context is None else context.find_root().obj
    return told if isinstance(told, Reach) else Reach()


def open_service(*, makes: bool = False) -> Service:
    """The service that a command is for; `makes`: whether books are made where there are none yet."""
    reach = _reach()
    if reach.url is not None:
        return Remote(reach.url, reach.key, reach.ledger)
    return Local(reach.ledger, makes=makes)


def open_local(*, makes: bool = False) -> Local:
    """The service on the books here; no other will do."""
    refuse_url()
    return Local(_reach().ledger, makes=makes)


def refuse_url() -> None:
    """Refuse --url for what is about this machine."""
    if _reach().url is not None:
        raise click.UsageError("This works on the database itself, where the service runs: not with --url.")


def open_books() -> "Books":
    """The books that the settings name; they have to be there already."""
    from cashman import config, db
    from cashman.ledger import Books

    refuse_url()
    if _reach().ledger is not None:
        raise click.UsageError("This is about all ledgers: not with --ledger.")
    settings = config.load(os.environ)
    books = Books(db.connect(settings.database_url), currency=settings.currency, timezone=settings.timezone)
    if not books.database.exists():
        raise ConfigurationError(NO_BOOKS)
    return books


def open_access() -> "Access":
    """Who may use those books."""
    from cashman import config
    from cashman.access import Access
    from cashman.access.signing import signing_keys

    books = open_books()
    return Access(books, signing_keys(books.database, config.load(os.environ).secret_key))


def url_of(context: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """The service's URL, as it may be given."""
    if not value:
        return None
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise click.BadParameter("Not a URL.") from None
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or "@" in parts.netloc:
        raise click.BadParameter("Has to be as http://localhost:5000 or https://books.example.com.")
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise click.BadParameter("Has to be plain ASCII.")
    return value


def key_of(context: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A key as a header can hold it; it is not repeated where it cannot."""
    if value and (not (value.isascii() and value.isprintable()) or " " in value):
        raise click.BadParameter("Has to be printable ASCII without blanks.")
    return value or None


_ULID: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


def ledger_of(context: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """The id of a ledger."""
    if value and _ULID.fullmatch(value.upper()) is None:
        raise click.BadParameter("Has to be the id of a ledger, 26 letters and digits.")
    return value.upper() if value else None
