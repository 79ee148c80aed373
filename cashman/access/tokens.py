"""Cashman's own tokens: JSON Web Tokens of exactly one form, and whatever differs from it in anything is refused."""

import base64
import json
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import jwt

from cashman.access.signing import HS256, Keyring
from cashman.errors import InvalidToken
from cashman.limits import ACCESS_SECONDS, CLOCK_SKEW_SECONDS, REFRESH_SECONDS, TOKEN_CHARACTERS_MAX
from cashman.model.fields import ULID_PATTERN
from cashman.translations import message

ISSUER: Final = "cashman"
"""Who the tokens are from, and whom they are for."""

ACCESS_TYPE: Final = "at+jwt"  # RFC 9068
REFRESH_TYPE: Final = "refresh+jwt"
PAGE_TYPE: Final = "page+jwt"
TURN_MAX: Final = 2**31 - 1

_ULID: Final = re.compile(ULID_PATTERN, re.ASCII)
_JTI: Final = re.compile("[0-9a-f]{32}", re.ASCII)
_SEGMENT: Final = "([A-Za-z0-9_-]+)"
_TOKEN: Final = re.compile(rf"{_SEGMENT}\.{_SEGMENT}\.{_SEGMENT}", re.ASCII)


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What an access token says."""

    user_id: str
    session_id: str
    expires_at: int
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class RefreshClaims:
    """What a refresh token says."""

    session_id: str
    turn: int


@dataclass(frozen=True, slots=True)
class PageClaims:
    """What the token in a browser's cookie says."""

    user_id: str
    session_id: str
    turn: int
    issued_at: int
    """Seconds since 1970: for so long as an access token it is good as it is, and after that it has to be turned."""


class Tokens:
    """Issues tokens, and tells which are its own."""

    def __init__(self, keyring: Callable[[], Keyring]) -> None:
        self._keyring = keyring

    def issue_access(self, user_id: str, session_id: str, now: float | None = None) -> str:
        """An access token for ACCESS_SECONDS."""
        issued_at = int(time.time() if now is None else now)
        return self._issue(ACCESS_TYPE, issued_at, issued_at + ACCESS_SECONDS, {"sub": user_id, "sid": session_id})

    def issue_refresh(self, session_id: str, turn: int, expires_at: datetime) -> str:
        """The refresh token of a session's turn."""
        own = {"sid": session_id, "turn": turn}
        return self._issue(REFRESH_TYPE, int(time.time()), int(expires_at.timestamp()), own)

    def issue_page(self, user_id: str, session_id: str, turn: int, expires_at: datetime) -> str:
        """The token of a session's turn for the cookie of a browser."""
        own = {"sub": user_id, "sid": session_id, "turn": turn}
        return self._issue(PAGE_TYPE, int(time.time()), int(expires_at.timestamp()), own)

    def _issue(self, typ: str, issued_at: int, expires_at: int, own: dict[str, Any]) -> str:
        key = self._keyring().signing
        common = {"iss": ISSUER, "aud": ISSUER, "iat": issued_at, "nbf": issued_at, "exp": expires_at}
        claims = {**common, **own, "jti": secrets.token_hex(16)}
        return jwt.encode(claims, key.secret, "HS256", headers={"kid": key.kid, "typ": typ})

    def check_access(self, token: str) -> AccessClaims:
        """What an access token says; InvalidToken for anything else."""
        claims = self._check(token, ACCESS_TYPE, {"sub", "sid"}, ACCESS_SECONDS)
        if not _is_text(claims["sub"], _ULID):
            raise InvalidToken()
        return AccessClaims(claims["sub"], claims["sid"], claims["exp"])

    def check_refresh(self, token: str) -> RefreshClaims:
        """What a refresh token says; InvalidToken for anything else."""
        # The session's end was set a moment before the token was issued, perhaps by another clock.
        claims = self._check(token, REFRESH_TYPE, {"sid", "turn"}, REFRESH_SECONDS + CLOCK_SKEW_SECONDS)
        _check_turn(claims["turn"])
        return RefreshClaims(claims["sid"], claims["turn"])

    def check_page(self, token: str) -> PageClaims:
        """What the token of a browser's cookie says; InvalidToken for anything else."""
        claims = self._check(token, PAGE_TYPE, {"sub", "sid", "turn"}, REFRESH_SECONDS + CLOCK_SKEW_SECONDS)
        _check_turn(claims["turn"])
        if not _is_text(claims["sub"], _ULID):
            raise InvalidToken()
        return PageClaims(claims["sub"], claims["sid"], claims["turn"], claims["iat"])

    def _check(self, token: str, typ: str, own: set[str], seconds_max: int) -> dict[str, Any]:
        parts = parse(token)
        kid = parts.header.get("kid")
        if not isinstance(kid, str) or parts.header != {"alg": "HS256", "kid": kid, "typ": typ}:
            raise InvalidToken()
        key = self._keyring().get(kid)
        if key is None or not HS256.verify(parts.signed, key.secret, parts.signature):
            raise InvalidToken()
        claims = parts.claims()
        # The signature is ours, so a claim that is not as we write it means that the key is not ours alone.
        if claims.keys() != {"iss", "aud", "iat", "nbf", "exp", "jti", *own}:
            raise InvalidToken()
        texts = _is_text(claims["jti"], _JTI) and _is_text(claims["sid"], _ULID)
        if not texts or claims["iss"] != ISSUER or claims["aud"] != ISSUER:
            raise InvalidToken()
        _check_times(claims, seconds_max)
        return claims


def _is_text(value: Any, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_number(value: Any) -> bool:
    """Whether it is a whole number; True is not, though Python has it for 1."""
    return type(value) is int


def _check_turn(turn: Any) -> None:
    if not _is_number(turn) or not 0 <= turn <= TURN_MAX:
        raise InvalidToken()


def _check_times(claims: dict[str, Any], seconds_max: int) -> None:
    issued_at, not_before, expires_at = claims["iat"], claims["nbf"], claims["exp"]
    if not (_is_number(issued_at) and _is_number(not_before) and _is_number(expires_at)):
        raise InvalidToken()
    if not issued_at < expires_at <= issued_at + seconds_max:
        raise InvalidToken()
    now = time.time()
    # Another machine before the same database may be a little ahead.
    if max(issued_at, not_before) > now + CLOCK_SKEW_SECONDS:
        raise InvalidToken(message("The token is not valid yet."))
    if expires_at <= now:
        raise InvalidToken(message("The token has expired."))


class Parts(NamedTuple):
    """A token in its compact form, taken apart and not yet believed."""

    header: dict[str, Any]
    payload: bytes
    signed: bytes
    signature: bytes

    def claims(self) -> dict[str, Any]:
        """What it says; InvalidToken where that is not one JSON object."""
        return _read_object(self.payload)


def parse(token: str) -> Parts:
    """The parts of a token in the one form that each of them has; InvalidToken for anything else."""
    found = _TOKEN.fullmatch(token) if len(token) <= TOKEN_CHARACTERS_MAX else None
    if found is None:
        raise InvalidToken()
    header, payload, signature = map(_decode, found.groups())
    return Parts(_read_object(header), payload, token[: found.end(2)].encode(), signature)


def _decode(segment: str) -> bytes:
    """The bytes of a segment, which nothing else may be written as."""
    try:
        decoded = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        raise InvalidToken() from None
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != segment.encode():
        raise InvalidToken()
    return decoded


def read_json(data: bytes) -> Any:
    """A JSON document without NaN and without a member twice; ValueError for anything else."""
    try:
        return _DECODER.decode(data.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _read_object(data: bytes) -> dict[str, Any]:
    try:
        found = read_json(data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InvalidToken()
    return found


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members


def _refuse(constant: str) -> None:
    raise ValueError(constant)


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_refuse)
