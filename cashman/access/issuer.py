"""Tokens of an outside issuer, such as Keycloak's: what they say, once its public keys have shown that it said so."""

import http.client
import logging
import math
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt

from cashman.access.tokens import Parts, parse, read_json
from cashman.errors import InvalidToken
from cashman.limits import CLOCK_SKEW_SECONDS, DOCUMENT_BYTES_MAX, EMAIL_CHARACTERS_MAX
from cashman.translations import message

KEYS_SECONDS: Final = 300
"""How long the keys are believed before they are fetched again, so how long a withdrawn one is."""
PAUSE_SECONDS: Final = 30
"""How long until an unknown `kid`, or an issuer that does not answer, is a reason to fetch the keys again."""
ANSWER_SECONDS_MAX: Final = 5
SUBJECT_CHARACTERS_MAX: Final = 255  # OpenID Connect Core 1.0, 2
INSTANT_MAX: Final = 253_402_300_799  # the last second of the year 9999

_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_ALGORITHMS: Final[Mapping[str, tuple[str, ...]]] = {
    "RSA": _RSA,
    "EC P-256": ("ES256",),
    "EC P-384": ("ES384",),
    "EC P-521": ("ES512",),
    "OKP Ed25519": ("EdDSA",),
    "OKP Ed448": ("EdDSA",),
}
"""What a key of each type and curve can have signed. A secret (`oct`) is none: whoever can check could sign."""
_ALL: Final = {name for names in _ALGORITHMS.values() for name in names}

# What an access token calls itself: not an ID token, a refresh token, a logout token, or one that needs a proof.
_HEADER_TYPES: Final = ("jwt", "at+jwt", "application/at+jwt")
_CLAIMED_TYPES: Final = ("bearer", "jwt", "at+jwt", "access")
_OF_OTHERS: Final = ("at_hash", "c_hash", "events")  # claims that only an ID token, or a logout token, has

Keys = Mapping[str, Mapping[str, jwt.PyJWK]]
"""By `kid` and algorithm."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OutsideClaims:
    """What a token of the outside issuer says."""

    subject: str
    email: str | None
    """Only where the issuer has verified it."""
    expires_at: int
    """Seconds since 1970."""


class Issuer:
    """An outside issuer, whose tokens count here."""

    def __init__(self, issuer: str, audience: str, jwks_url: str) -> None:
        self.issuer = issuer
        self.audience = audience
        self._published = PublishedKeys(jwks_url)

    def issued(self, token: str) -> bool:
        """Whether a token claims to be of this issuer; `check` tells whether it is."""
        try:
            return self._claims_to(parse(token).claims())
        except InvalidToken:
            return False

    def _claims_to(self, claims: Mapping[str, Any]) -> bool:
        return isinstance(claims.get("iss"), str) and claims["iss"] == self.issuer

    def check(self, token: str) -> OutsideClaims:
        """What an access token of this issuer says; InvalidToken for anything else."""
        parts = parse(token)
        claims = parts.claims()
        # Before the keys are asked for: a token that cannot be good is no reason to fetch them.
        if not _is_access(parts.header, claims) or not self._claims_to(claims) or not self._is_for_us(claims):
            raise InvalidToken()
        expires_at = _check_times(claims)
        self._check_signature(parts)
        return OutsideClaims(_subject(claims), _verified_email(claims), expires_at)

    def _is_for_us(self, claims: Mapping[str, Any]) -> bool:
        audience = claims.get("aud")
        return self.audience in ([audience] if isinstance(audience, str) else _list(audience))

    def _check_signature(self, parts: Parts) -> None:
        algorithm, kid = parts.header.get("alg"), parts.header.get("kid")
        if not isinstance(kid, str) or not isinstance(algorithm, str) or algorithm not in _ALL:
            raise InvalidToken()
        key = self._published.of(kid).get(algorithm)
        if key is None or not key.Algorithm.verify(parts.signed, key.key, parts.signature):
            raise InvalidToken()


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_access(header: Mapping[str, Any], claims: Mapping[str, Any]) -> bool:
    """Whether a token is one that bearers get in with, as far as it says what it is."""
    if "crit" in header or "b64" in header:  # whatever they ask for, it is not done here
        return False
    types = str(header.get("typ", "JWT")).lower(), str(claims.get("typ", "Bearer")).lower()
    return types[0] in _HEADER_TYPES and types[1] in _CLAIMED_TYPES and not any(name in claims for name in _OF_OTHERS)


def _check_times(claims: Mapping[str, Any]) -> int:
    """When a token expires; InvalidToken where that is past, or where it begins later."""
    now = time.time()
    for name in ("iat", "nbf"):
        if name in claims and _instant(claims[name]) > now + CLOCK_SKEW_SECONDS:
            raise InvalidToken(message("The token is not valid yet."))
    expires_at = _instant(claims.get("exp"))
    if expires_at + CLOCK_SKEW_SECONDS <= now:
        raise InvalidToken(message("The token has expired."))
    return int(expires_at)


def _instant(value: Any) -> float:
    """Seconds since 1970, perhaps with a fraction (RFC 7519, 2)."""
    if type(value) not in (int, float) or not 0 <= value <= INSTANT_MAX:
        raise InvalidToken()
    seconds: float = value
    return seconds


def _subject(claims: Mapping[str, Any]) -> str:
    subject = claims.get("sub")
    if not _is_text(subject, SUBJECT_CHARACTERS_MAX):
        raise InvalidToken()
    return str(subject)


def _verified_email(claims: Mapping[str, Any]) -> str | None:
    email = claims.get("email")
    verified = claims.get("email_verified") is True and _is_text(email, EMAIL_CHARACTERS_MAX)
    return email if verified else None


def _is_text(value: Any, characters_max: int) -> bool:
    """Whether it is a text that a database can keep: without NUL and halves of characters."""
    if not isinstance(value, str) or not 1 <= len(value) <= characters_max or "\0" in value:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)


class PublishedKeys:
    """The public keys that an issuer publishes, as they were last fetched."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: Keys = {}
        self._fetched_at = self._tried_at = self._asked_at = -math.inf
        """When the keys came, when they were last asked for, and when that was for an unknown `kid`."""
        self._fetching = threading.Lock()

    def of(self, kid: str) -> Mapping[str, jwt.PyJWK]:
        """The keys of a name, by algorithm; InvalidToken where there never were any keys at all."""
        if self._is_due(kid) and self._fetching.acquire(blocking=kid not in self._keys):
            try:
                if self._is_due(kid):  # else somebody else has fetched them meanwhile
                    self._refresh()
            finally:
                self._fetching.release()
        if self._fetched_at == -math.inf:
            raise InvalidToken(message("The keys of the token's issuer are out of reach."))
        return self._keys.get(kid, {})

    def _is_stale(self) -> bool:
        return time.monotonic() - self._fetched_at >= KEYS_SECONDS

    def _is_due(self, kid: str) -> bool:
        """Whether the keys are to be fetched before a token of that `kid` is judged."""
        if self._is_stale():
            return time.monotonic() - self._tried_at >= PAUSE_SECONDS
        return kid not in self._keys and time.monotonic() - self._asked_at >= PAUSE_SECONDS

    def _refresh(self) -> None:
        was_stale = self._is_stale()
        found = _fetch_in_time(self._url)
        now = time.monotonic()
        if found is not None:  # else what was there goes on being believed
            self._keys, self._fetched_at = found, now
        # Only now: until then, whoever has no key yet waits for this fetch.
        self._tried_at = now
        if not was_stale:
            self._asked_at = now


def _fetch_in_time(url: str) -> Keys | None:
    """The keys at a URL, or None where they cannot be had within ANSWER_SECONDS_MAX."""
    found: list[Keys | Exception] = []

    def fetch() -> None:
        try:
            found.append(_usable_keys(_download(url)))
        except Exception as error:  # whatever it is, the keys that were there are still good
            found.append(error)

    # A thread of its own, since a socket's timeout is for each of many steps, and for looking up a name there is none.
    thread = threading.Thread(target=fetch, name="issuer-keys", daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS_MAX)
    result = found[0] if found else TimeoutError(f"no answer within {ANSWER_SECONDS_MAX} s")
    if isinstance(result, Exception):
        log.warning("the issuer's keys cannot be had from %s: %s", url, result)
        return None
    return result


def _download(url: str) -> bytes:
    """What is at an HTTP URL itself: a redirect is an error, as is any other answer than 200."""
    opener = urllib.request.OpenerDirector()  # one that knows neither redirects nor file: and ftp:
    request = urllib.request
    for handler in (request.ProxyHandler, request.HTTPHandler, request.HTTPSHandler, request.UnknownHandler):
        opener.add_handler(handler())
    opener.addheaders = [("User-Agent", "Cashman"), ("Accept", "application/jwk-set+json, application/json")]
    deadline = time.monotonic() + ANSWER_SECONDS_MAX
    content = b""
    with opener.open(url, timeout=ANSWER_SECONDS_MAX) as response:
        if response.status != http.client.OK:
            raise ValueError(f"the answer is {response.status}")
        while chunk := response.read1(DOCUMENT_BYTES_MAX):
            content += chunk
            if len(content) > DOCUMENT_BYTES_MAX:
                raise ValueError(f"the answer has more than {DOCUMENT_BYTES_MAX} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError("the answer takes too long")
        if len(content) != int(response.headers.get("Content-Length", len(content))):
            raise ValueError("the answer was cut off")
    return content


def _usable_keys(document: bytes) -> Keys:
    """The keys of a JSON Web Key Set that can show who signed; ValueError where it is no such set."""
    found = read_json(document)
    if not isinstance(found, dict) or not isinstance(found.get("keys"), list):
        raise ValueError("the answer is not a JSON Web Key Set")
    keys: dict[str, dict[str, jwt.PyJWK]] = {}
    for data in found["keys"]:
        if isinstance(data, dict) and isinstance(data.get("kid"), str):
            for name, key in _keys_of(data).items():
                keys.setdefault(data["kid"], {}).setdefault(name, key)
    return keys


def _keys_of(data: dict[str, Any]) -> dict[str, jwt.PyJWK]:
    """What a JSON Web Key can verify, by algorithm: what its own type, curve and `alg` allow, and never a token."""
    kind = "RSA" if data.get("kty") == "RSA" else f"{data.get('kty')} {data.get('crv')}"
    names = [name for name in _ALGORITHMS.get(kind, ()) if data.get("alg", name) == name]
    for_signatures = data.get("use", "sig") == "sig" and "verify" in _list(data.get("key_ops", ["verify"]))
    if not for_signatures or "d" in data:  # a private key that is published is nobody's any more
        return {}
    try:
        keys = [jwt.PyJWK(data, name) for name in names]
    except Exception as error:  # whatever the libraries make of a damaged key, the others are still good
        log.warning("a key of the issuer cannot be used: %s", error)
        return {}
    return {key.algorithm_name: key for key in keys if key.Algorithm.check_key_length(key.key) is None}
