"""The door: who makes a request, and whether they may.

Every request passes `enter`. A view says with its contract what it needs; one that says nothing is about a ledger, and
takes a viewer to read and an editor to write.
"""

import ipaddress
import math
import shutil
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from flask import Flask, Response, current_app, g, request

from cashman import cookies, current, headers
from cashman.access import BOOTSTRAP, OPEN_DOOR, Caller
from cashman.config import Config
from cashman.errors import Forbidden, InvalidToken, TooManyRequests, Unauthenticated
from cashman.limits import RATE_SECONDS
from cashman.proxy import PROXIED
from cashman.translations import message

_FORWARDED: Final = frozenset((
    "HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_REAL_IP", "HTTP_X_CLIENT_IP", "HTTP_TRUE_CLIENT_IP", "HTTP_CF_CONNECTING_IP",
    "HTTP_FASTLY_CLIENT_IP", "HTTP_FLY_CLIENT_IP", "HTTP_X_CLUSTER_CLIENT_IP", "HTTP_X_ORIGINAL_HOST",
))  # fmt: skip
"""What proxies say that they have passed a request on with, beside X-Forwarded-*."""
_CALLERS_MAX: Final = 100_000

LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")


KEY: Final = "cashman.door"
"""Where an app has its door."""
CALLER_KEY: Final = "cashman.caller"
"""Where the WSGI environment has the caller whom this very process names, as the command line does.

No client can: of what it sends, only headers get into the environment, as text, and under names that begin with HTTP_.
"""


class Door:
    """What the settings say of who gets in without a token, and how often who has one may come."""

    def __init__(self, settings: Config) -> None:
        self.auth: str = settings.auth
        self.rate_limit: int = settings.rate_limit
        self.gateway = _default_gateway() if _in_container() else None
        self.command = "cashman" if shutil.which("cashman") else "./bootstrap.sh cli"
        """How the command line is called here."""
        self._rates: dict[str, tuple[float, int]] = {}

    def count(self, caller: Caller) -> tuple[int, int]:
        """Count a request of a caller, and give how many are left in how many seconds; negative where none was."""
        now = time.monotonic()
        until, made = self._rates.get(caller.actor, (0.0, 0))
        if until <= now:
            if len(self._rates) >= _CALLERS_MAX:
                self._rates.clear()
            until, made = now + RATE_SECONDS, 0
        self._rates[caller.actor] = (until, made + 1)
        return self.rate_limit - made - 1, math.ceil(until - now)


def init_app(app: Flask) -> None:
    """Have every request of an app pass the door."""
    app.url_value_preprocessor(_take_prefix)
    app.before_request(enter)
    app.after_request(_tell_rate)
    app.after_request(cookies.after)
    app.context_processor(_on_pages)


def announcement(app: Flask) -> str:
    """Who gets in, for the log at the start; until there is a user, with what the first one has to know."""
    access, door = current.access(app), app.extensions[KEY]
    access.open()
    code = access.setup_code()
    access.catch_up()
    if door.auth == "open":
        who = "The door is open to everybody, as CASHMAN_AUTH says."
    elif access.founded:
        return "The door is shut: every request needs a token."
    elif door.auth == "required":
        who = "The door is shut, and there is no user yet."
    else:
        who = "The door is open to this machine alone, until there is a user."
    if access.founded:
        return who
    how = f"`{door.command} user add E-MAIL`, or POST /users with setup_code {code}"
    return f"{who} The first user takes over the books: {how}"


def banner() -> str | None:
    """What every page says while somebody may come in without a token."""
    if _door().auth == "open":
        return message(
            "The door is open: whoever reaches this service may see and change these books, as CASHMAN_AUTH=open says. "
            "Without that setting it is shut to whoever has no user."
        )
    if _door().auth == "auto" and not current.access().founded:
        return message(
            "The door is open: whoever uses this machine may see and change these books, until there is a user."
        )
    return None


def kept_out() -> str | None:
    """What keeps this request out before there is a user; None where it would get in without a token."""
    return None if _door().auth == "open" else _kept_out(_door())


def command() -> str:
    """How the command line is called here."""
    return _door().command


def _on_pages() -> dict[str, Any]:
    """What the frame of every page shows of who may."""
    caller: Caller | None = g.get("caller")
    signed_in = caller is not None and caller.session_id is not None
    return {"banner": banner(), "no_user": not current.access().founded, "signed_in": signed_in}


def _take_prefix(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    """Views know nothing of the ledger in the path: they ask for `current.ledger()`."""
    if values:
        g.ledger_ulid = values.pop("ledger_ulid", None)


def needs_of(view: Any, method: str) -> str:
    """What a view needs: "anyone", "account", "admin", or a role."""
    terms = getattr(view, "contract", None)
    if terms is not None and terms.needs is not None:
        needs: str = terms.needs
        return needs
    return "viewer" if method in ("GET", "HEAD") else "editor"


def enter() -> None:
    """Run before every request: raise what keeps the caller out, or note who it is and which ledger it is about."""
    asked = current.asked()
    if asked.url_rule is None or asked.method == "OPTIONS":
        return  # there is nothing here, or only what is told to everybody
    needs = needs_of(current_app.view_functions[asked.url_rule.endpoint], asked.method)
    if needs != "anyone":
        admit(needs)


def admit(needs: str) -> None:
    """The same for what needs so much: for a view that only sometimes does."""
    asked = current.asked()
    asked.environ[headers.GUARDED] = True
    g.ask_again = enter
    caller = identify()
    if needs == "member":
        pass  # a key of one ledger sees that one
    elif needs == "account":
        check_account(caller, "read" if asked.method in ("GET", "HEAD") else "admin")
    elif needs == "admin":
        check_account(caller, "admin")
        check_administrator(caller)
    else:
        g.ledger = current.access().ledger(caller, current.ledger_ulid(), needs)


def identify() -> Caller:
    """Who makes this request, by their token or as the open door has it; raises what keeps them out."""
    access = current.access()
    access.catch_up()
    named = current.asked().environ.get(CALLER_KEY)
    if isinstance(named, Caller):
        g.caller = named
        return named
    token = _bearer()
    cookie = cookies.token() if token is None and access.founded else None
    try:
        if token is not None:
            caller = access.caller_with(token)
        elif cookie is not None:
            caller = _of_page(cookie)
        else:
            caller = g.caller = _without_token(_door())
            return caller
    except InvalidToken as error:
        error.headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
        raise
    g.caller = caller
    if caller is not BOOTSTRAP:
        _limit_rate(_door(), caller)
    return caller


def _of_page(cookie: str) -> Caller:
    """Whose session a browser's cookie is of; asked again, whether it still is, as its turn may be over by then."""
    before: Caller | None = g.get("page_session")
    if before is not None:
        return current.access().directory.user_of_session(before.user_id or "", before.session_id or "")
    g.page_session, following = current.access().caller_of_page(cookie)
    if following is not None:
        g.page_token = following
    caller: Caller = g.page_session
    return caller


def check_administrator(caller: Caller) -> None:
    """Refuse whoever may not say who else may come in."""
    if not caller.admin:
        raise Forbidden(message("It takes an administrator."))


def user_id(caller: Caller) -> str:
    """The caller's user; Forbidden where there is none behind the open door or the key of the settings."""
    if caller.user_id is None:
        raise Forbidden(message("It takes a user, and this request comes from none."))
    return caller.user_id


def refuse_open_door(caller: Caller) -> None:
    """Leave to those who are somebody who shares what with whom: it outlasts an open door."""
    if caller is OPEN_DOOR:
        raise Forbidden(message("It takes a user, and this request comes from none."))


def client_address() -> str:
    """Where the request comes from, as the nearest proxy that is trusted says."""
    return request.remote_addr or ""


def _door() -> Door:
    found: Door = current_app.extensions[KEY]
    return found


def _bearer() -> str | None:
    """The token in the Authorization header (RFC 6750, 2.1); no other scheme is known here."""
    header: str | None = current.asked().environ.get("HTTP_AUTHORIZATION")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise InvalidToken(
            message("The Authorization header has to be `Bearer`, a blank, and the token."),
            headers={"WWW-Authenticate": "Bearer"},
        )
    return token.strip()


def _without_token(door: Door) -> Caller:
    """Whoever comes by the open door; else Unauthenticated, with the one line that would help."""
    if door.auth == "open":
        return OPEN_DOOR
    reason = _kept_out(door)
    if reason is not None:
        raise Unauthenticated(reason, headers={"WWW-Authenticate": "Bearer"})
    return OPEN_DOOR


def _kept_out(door: Door) -> str | None:
    if current.access().founded:
        return message("Send `Authorization: Bearer …` with an access token from `POST /tokens`, or with an API key.")
    if door.auth == "required":
        return message(
            "There is no user yet: `{command} user add E-MAIL` makes the first, or `POST /users` with the setup code "
            "that stands in the log.",
            command=door.command,
        )
    environ = current.asked().environ
    if _is_handed_on(environ):
        return message(
            "Until there is a user the door is open to this machine alone, and a proxy has passed this request on: "
            "`{command} user add E-MAIL` makes a user, or set CASHMAN_AUTH=open where you trust the network.",
            command=door.command,
        )
    if environ.get("SERVER_PROTOCOL") != "HTTP/1.1":
        return message(
            "Until there is a user the door is open to this machine alone, and proxies speak HTTP/1.0 like this "
            "request: `{command} user add E-MAIL` makes a user, or set CASHMAN_AUTH=open where you trust the network.",
            command=door.command,
        )
    if not _is_near(environ.get("REMOTE_ADDR", ""), door.gateway):
        return message(
            "Until there is a user the door is open to this machine alone, and this request comes from another: "
            "`{command} user add E-MAIL` makes a user, or set CASHMAN_AUTH=open where you trust the network, or "
            "CASHMAN_BOOTSTRAP_KEY for an app.",
            command=door.command,
        )
    if not _is_local_host(environ.get("HTTP_HOST", "")) or not _is_own_origin(environ):
        return message(
            "Until there is a user the door is open to this machine alone, and `Host` or `Origin` names another: ask "
            "for localhost, or make a user with `{command} user add E-MAIL`.",
            command=door.command,
        )
    return None


def is_this_machine() -> bool:
    """Whether a program of this machine asks, over loopback and by its own name, and nobody has handed it on."""
    environ = request.environ
    return (
        _is_near(environ.get("REMOTE_ADDR", ""), None)
        and environ.get("SERVER_PROTOCOL") == "HTTP/1.1"
        and not _is_handed_on(environ)
        and _is_local_host(environ.get("HTTP_HOST", ""))
        and _is_own_origin(environ)
    )


def _is_handed_on(environ: dict[str, Any]) -> bool:
    return bool(environ.get(PROXIED)) or not _FORWARDED.isdisjoint(environ) or "HTTP_X_FORWARDED" in " ".join(environ)


@lru_cache(1_000)
def _is_near(address: str, gateway: str | None) -> bool:
    """Whether a peer is this machine: over loopback, or from a container's point of view its default gateway."""
    try:
        peer = ipaddress.ip_address(address)
    except ValueError:
        return False
    peer = getattr(peer, "ipv4_mapped", None) or peer
    return peer.is_loopback or str(peer) == gateway


def _is_local_host(host: str) -> bool:
    name, _, port = host.lower().rpartition(":")
    return (name if port.isascii() and port.isdigit() else host.lower()) in LOCAL_HOSTS


def _is_own_origin(environ: dict[str, Any]) -> bool:
    """Whether it is no browser's page from elsewhere that asks: such a page can reach this machine, too."""
    origin = environ.get("HTTP_ORIGIN")
    fetched = environ.get("HTTP_SEC_FETCH_SITE", "none")
    return (origin is None or origin.lower() == cookies.own_origin(environ)) and fetched in ("none", "same-origin")


def _in_container() -> bool:
    return any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv"))


def _default_gateway() -> str | None:
    """Where this machine sends what is for elsewhere: Docker's bridge, whence the host's own requests come."""
    try:
        lines = Path("/proc/net/route").read_text().splitlines()[1:]
    except OSError:
        return None
    for line in lines:
        _, destination, gateway, flags, *_ = line.split()
        if destination == "00000000" and int(flags, 16) & 2:  # RTF_GATEWAY
            return str(ipaddress.IPv4Address(int(gateway, 16).to_bytes(4, "little")))
    return None


def check_account(caller: Caller, scope: str) -> None:
    """Refuse a key of a narrower scope, or of one ledger only, what is in no ledger."""
    if not caller.may_scope(scope) or caller.only_home:
        raise Forbidden(
            message(
                "It takes the scope {needed}, for every ledger. Your scope is {scope}.",
                needed=scope,
                scope=caller.scope,
            )
        )


def _limit_rate(door: Door, caller: Caller) -> None:
    if door.rate_limit:
        left, seconds = g.rate = door.count(caller)
        if left < 0:
            raise TooManyRequests(headers={"Retry-After": str(seconds)})


def _tell_rate(response: Response) -> Response:
    """How often the caller may come yet, as the IETF draft on RateLimit header fields has it."""
    rate = g.get("rate")
    if rate is not None:
        response.headers["RateLimit-Policy"] = f'"caller";q={_door().rate_limit};w={RATE_SECONDS}'
        response.headers["RateLimit"] = f'"caller";r={max(0, rate[0])};t={rate[1]}'
    return response
