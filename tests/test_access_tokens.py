"""Cashman's own tokens: every known attack on JSON Web Tokens, each beside a twin that lacks it and passes."""

import base64
import datetime as dt
import hashlib
import hmac
import json
import random
import string
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st

from cashman import current
from cashman.access import tokens
from cashman.access.signing import GivenKeys, Keyring, kid_of
from cashman.access.tokens import AccessClaims, RefreshClaims, Tokens
from cashman.errors import InvalidToken
from cashman.limits import ACCESS_SECONDS, CLOCK_SKEW_SECONDS, REFRESH_SECONDS, TOKEN_CHARACTERS_MAX

USER = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
SESSION = "01BX5ZZKBKACTAV9WEVGEMMVRZ"
SECRETS = [f"{name} secret, of more than 32 bytes" for name in ("the newest", "the older", "the dropped")]
NEWEST, OLDER, DROPPED = (GivenKeys([secret]).load().signing for secret in SECRETS)
TOKENS = Tokens(GivenKeys(SECRETS[:2]).load)
ABSENT = object()


def in_seconds(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(time.time() + seconds, dt.UTC)


# What is issued.


def test_an_access_token_says_who_and_in_which_session() -> None:
    before = int(time.time())
    claims = TOKENS.check_access(TOKENS.issue_access(USER, SESSION))
    assert claims == AccessClaims(USER, SESSION, claims.expires_at)
    assert before + ACCESS_SECONDS <= claims.expires_at <= time.time() + ACCESS_SECONDS


def test_a_refresh_token_says_which_turn_of_which_session() -> None:
    for turn in (0, 7, tokens.TURN_MAX):
        token = TOKENS.issue_refresh(SESSION, turn, in_seconds(REFRESH_SECONDS))
        assert TOKENS.check_refresh(token) == RefreshClaims(SESSION, turn)


def test_a_token_is_a_jwt_of_exactly_this_form() -> None:
    """As another implementation reads it."""
    token = TOKENS.issue_access(USER, SESSION, now=1_800_000_000.9)
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "kid": NEWEST.kid, "typ": "at+jwt"}
    unchecked = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    claims = jwt.decode(token, NEWEST.secret, ["HS256"], unchecked, audience="cashman", issuer="cashman")
    assert len(claims.pop("jti")) == 32
    assert claims == {
        "iss": "cashman", "aud": "cashman", "sub": USER, "sid": SESSION,
        "iat": 1_800_000_000, "nbf": 1_800_000_000, "exp": 1_800_000_000 + ACCESS_SECONDS,
    }  # fmt: skip
    refresh = TOKENS.issue_refresh(SESSION, 3, in_seconds(60))
    assert jwt.get_unverified_header(refresh) == {"alg": "HS256", "kid": NEWEST.kid, "typ": "refresh+jwt"}
    claims = jwt.decode(refresh, NEWEST.secret, ["HS256"], audience="cashman", issuer="cashman")
    assert claims.keys() == {"iss", "aud", "sid", "turn", "iat", "nbf", "exp", "jti"}
    assert (claims["sid"], claims["turn"]) == (SESSION, 3)


def test_two_tokens_of_one_second_are_not_the_same() -> None:
    until = in_seconds(60)
    assert TOKENS.issue_access(USER, SESSION, now=0) != TOKENS.issue_access(USER, SESSION, now=0)
    assert TOKENS.issue_refresh(SESSION, 1, until) != TOKENS.issue_refresh(SESSION, 1, until)


def test_the_first_key_signs_and_all_are_believed() -> None:
    keyring = GivenKeys(SECRETS[:1]).load()
    changing = Tokens(lambda: keyring)
    old = changing.issue_access(USER, SESSION)
    keyring = GivenKeys([SECRETS[1], SECRETS[0]]).load()
    new = changing.issue_access(USER, SESSION)
    assert [jwt.get_unverified_header(token)["kid"] for token in (old, new)] == [NEWEST.kid, OLDER.kid]
    assert changing.check_access(old).user_id == changing.check_access(new).user_id == USER
    keyring = GivenKeys(SECRETS[1:2]).load()
    assert changing.check_access(new).user_id == USER
    with pytest.raises(InvalidToken):
        changing.check_access(old)


# What is refused.


@dataclass(frozen=True)
class Kind:
    """A kind of token, and what tells whether one is of it."""

    typ: str
    check: Callable[[str], object]
    own: dict[str, Any]


KINDS = {
    "access": Kind("at+jwt", TOKENS.check_access, {"sub": USER}),
    "refresh": Kind("refresh+jwt", TOKENS.check_refresh, {"turn": 1}),
}


def encoded(data: str | bytes) -> str:
    """A segment."""
    raw = data if isinstance(data, bytes) else data.encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def same(text: str) -> str:
    return text


def forge(
    kind: Kind,
    *,
    header: dict[str, Any] | None = None,
    claims: dict[str, Any] | None = None,
    secret: bytes = NEWEST.secret,
    digest: str = "sha256",
    header_text: Callable[[str], str | bytes] = same,
    claims_text: Callable[[str], str | bytes] = same,
    header_segment: Callable[[str], str] = same,
    claims_segment: Callable[[str], str] = same,
    shape: Callable[[str, str, str], str] = "{}.{}.{}".format,
) -> str:
    """A token with some things changed on the way; with nothing changed, a good one."""
    now = int(time.time())
    good = {"iss": "cashman", "aud": "cashman", "iat": now, "nbf": now, "exp": now + 600, "sid": SESSION, **kind.own}
    members = {"alg": "HS256", "kid": NEWEST.kid, "typ": kind.typ, **(header or {})}
    says = {**good, "jti": "0123456789abcdef" * 2, **{name: at(now, value) for name, value in (claims or {}).items()}}
    first = header_segment(encoded(header_text(text_of(members))))
    second = claims_segment(encoded(claims_text(text_of(says))))
    signature = hmac.new(secret, f"{first}.{second}".encode(errors="surrogatepass"), digest).digest()
    return shape(first, second, encoded(signature))


def at(now: int, value: Any) -> Any:
    return value(now) if callable(value) else value


def text_of(members: dict[str, Any]) -> str:
    return json.dumps({name: value for name, value in members.items() if value is not ABSENT})


def after(seconds: int) -> Callable[[int], int]:
    """So many seconds after a token is forged."""
    return lambda now: now + seconds


def member(text: str) -> Callable[[str], str]:
    """One more member at the end of an object."""
    return lambda before: f"{before[:-1]}, {text}}}"


def other_spelling(segment: str) -> str:
    """Another last character that stands for the same bytes, where the segment has bits to spare."""
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    assert len(segment) % 4 in (2, 3)
    other = segment[:-1] + alphabet[alphabet.index(segment[-1]) ^ 1]
    assert base64.urlsafe_b64decode(other + "==") == base64.urlsafe_b64decode(segment + "==")
    return other


def sized(rest: int) -> Callable[[str], str]:
    """Blanks after a JSON text, until so many of its bytes are left of the last three."""
    return lambda text: text + " " * ((rest - len(text)) % 3)


def lengthened(characters: int) -> Callable[[str], str]:
    """Blanks after a payload, until the token has about so many characters."""
    return lambda text: text + " " * (characters * 3 // 4 - len(text))


JWK = {"kty": "oct", "k": encoded(b"a key of the attacker, in the token itself")}
ATTACKER = b"a key of the attacker, in the token itself"
BIG = 10**30
Changes = dict[str, Any]

ATTACKS: dict[str, tuple[Changes, Changes]] = {
    # The algorithm.
    **{
        f"alg {spelling!r} with a signature": ({"header": {"alg": spelling}}, {"header": {"alg": "HS256"}})
        for spelling in ("none", "None", "NONE", "nOnE", "", "hs256", "HS256 ", "HS256\0", None, 0, True, ["HS256"], {})
    },
    **{
        f"alg {spelling!r} without a signature": (
            {"header": {"alg": spelling}, "shape": "{0}.{1}.".format},
            {"header": {"alg": "HS256"}},
        )
        for spelling in ("none", "None", "NONE", "nOnE")
    },
    "no alg": ({"header": {"alg": ABSENT}}, {}),
    "alg HS384 with our secret": ({"header": {"alg": "HS384"}, "digest": "sha384"}, {"digest": "sha256"}),
    "alg HS512 with our secret": ({"header": {"alg": "HS512"}, "digest": "sha512"}, {"digest": "sha256"}),
    "alg HS256 with another digest": ({"digest": "sha512"}, {"digest": "sha256"}),
    "alg RS256 with our secret": ({"header": {"alg": "RS256"}}, {"header": {"alg": "HS256"}}),
    "alg ES256 with our secret": ({"header": {"alg": "ES256"}}, {"header": {"alg": "HS256"}}),
    "alg EdDSA with our secret": ({"header": {"alg": "EdDSA"}}, {"header": {"alg": "HS256"}}),
    # Keys that the token brings along, or says where to find.
    "a jwk of its own": ({"header": {"jwk": JWK}, "secret": ATTACKER}, {"secret": NEWEST.secret}),
    "a jwk beside our signature": ({"header": {"jwk": JWK}}, {}),
    "a jku": ({"header": {"jku": "https://evil.example/keys"}}, {}),
    "an x5u": ({"header": {"x5u": "https://evil.example/chain"}}, {}),
    "an x5c": ({"header": {"x5c": ["MIIB"]}}, {}),
    "an x5t": ({"header": {"x5t": "AAAA"}}, {}),
    # The name of the key.
    "no kid": ({"header": {"kid": ABSENT}}, {}),
    **{
        f"kid {what}": ({"header": {"kid": kid}}, {"header": {"kid": NEWEST.kid}})
        for what, kid in {
            "that nobody knows": "0000000000000000",
            "that is empty": "",
            "that is a path": "../../../../dev/null",
            "that is SQL": "x' UNION SELECT 'AAAA' --",
            "that is a command": "|id",
            "that is a list": [NEWEST.kid],
            "that is an object": {"kid": NEWEST.kid},
            "that is a number": 0,
            "that is true": True,
            "that is null": None,
            "of another key": OLDER.kid,
            "with a blank": NEWEST.kid + " ",
            "with a NUL": NEWEST.kid + "\0",
            "in capitals": NEWEST.kid.upper() + "A",
            "of half a character": "\ud800",
            "that is long": NEWEST.kid * 100,
        }.items()
    },
    "a dropped key": (
        {"header": {"kid": DROPPED.kid}, "secret": DROPPED.secret},
        {"header": {"kid": OLDER.kid}, "secret": OLDER.secret},
    ),
    "a dropped key under the name of one in use": ({"secret": DROPPED.secret}, {"secret": NEWEST.secret}),
    "an empty key": ({"secret": b""}, {"secret": NEWEST.secret}),
    "an empty key under its own name": ({"header": {"kid": kid_of(b"")}, "secret": b""}, {"secret": NEWEST.secret}),
    "a key of zeros": ({"secret": bytes(32)}, {"secret": NEWEST.secret}),
    "a guessed key": ({"secret": b"secret"}, {"secret": NEWEST.secret}),
    "the kid as key": ({"secret": NEWEST.kid.encode()}, {"secret": NEWEST.secret}),
    # What the header asks for.
    "crit of a known claim": ({"header": {"crit": ["exp"]}}, {}),
    "crit that is empty": ({"header": {"crit": []}}, {}),
    "crit of b64": ({"header": {"crit": ["b64"], "b64": False}}, {}),
    "b64 false": ({"header": {"b64": False}}, {}),
    "b64 true": ({"header": {"b64": True}}, {}),
    "b64 false over a bare payload": (
        {"header": {"b64": False, "crit": ["b64"]}, "claims_segment": lambda segment: "{}"},
        {},
    ),
    "zip": ({"header": {"zip": "DEF"}}, {}),
    "a nested token": ({"header": {"cty": "JWT"}}, {}),
    "claims in the header": ({"header": {"iss": "cashman"}}, {}),
    "any other member in the header": ({"header": {"x": 1}}, {}),
    # What the token is.
    "no typ": ({"header": {"typ": ABSENT}}, {}),
    **{
        f"typ {typ!r}": ({"header": {"typ": typ}}, {})
        for typ in (
            "JWT", "jwt", "AT+JWT", "Refresh+JWT", "application/at+jwt", "application/refresh+jwt", "id+jwt", "ID", "",
            "logout+jwt", "at+jwt ", None, 1, ["at+jwt"],
        )
    },
    # Who it is from, and whom for.
    **{
        f"{name} {value!r}": ({"claims": {name: value}}, {"claims": {name: "cashman"}})
        for name in ("iss", "aud")
        for value in ("other", "Cashman", "cashman ", "", None, ["cashman"], ["cashman", "other"], {"cashman": 1}, 1)
    },
    # When.
    "expired": ({"claims": {"iat": after(-20), "nbf": after(-20), "exp": after(-1)}}, {"claims": {"exp": after(60)}}),
    "not yet valid": ({"claims": {"nbf": after(300)}}, {"claims": {"nbf": after(0)}}),
    "issued in the future": (
        {"claims": {"iat": after(300), "exp": after(400)}},
        {"claims": {"iat": after(0), "exp": after(400)}},
    ),
    "good for ever": ({"claims": {"exp": after(10 * REFRESH_SECONDS)}}, {"claims": {"exp": after(60)}}),
    "issued at its end": ({"claims": {"iat": after(10), "exp": after(10)}}, {"claims": {"exp": after(60)}}),
    "issued after its end": ({"claims": {"iat": after(20), "exp": after(10)}}, {"claims": {"exp": after(60)}}),
    **{
        f"{name} as {what}": ({"claims": {name: value}}, {"claims": {name: after(0 if name != "exp" else 60)}})
        for name in ("exp", "nbf", "iat")
        for what, value in {
            "text": str,
            "float": lambda now: now + 0.5,
            "whole float": float,
            "exponent": 1e300,
            "NaN": float("nan"),
            "Infinity": float("inf"),
            "minus Infinity": float("-inf"),
            "huge": BIG,
            "true": True,
            "null": None,
            "list": lambda now: [now],
            "object": {},
        }.items()
    },
    "exp zero": ({"claims": {"exp": 0}}, {}),
    "exp negative": ({"claims": {"exp": -1}}, {}),
    "exp hugely negative": ({"claims": {"exp": -BIG}}, {}),
    "iat long ago": ({"claims": {"iat": -BIG}}, {}),
    "exp beyond floats": ({"claims": {"exp": ABSENT}, "claims_text": member('"exp": 1e999')}, {}),
    "exp of 5,000 digits": ({"claims": {"exp": ABSENT}, "claims_text": member('"exp": 1' + "0" * 5_000)}, {}),
    # What it says.
    **{f"no {name}": ({"claims": {name: ABSENT}}, {}) for name in ("iss", "aud", "exp", "iat", "nbf", "sid", "jti")},
    **{
        f"sid {value!r}": ({"claims": {"sid": value}}, {"claims": {"sid": USER}})
        for value in (
            "", "1", SESSION.lower(), SESSION + "\n", SESSION + "0", SESSION[:-1], "8" + SESSION[1:], "*", None, 1,
            True, SESSION[:-1] + "U", SESSION[:-1] + "\0", "０" + SESSION[1:], [SESSION], {"sid": SESSION},
        )
    },
    **{
        f"jti {value!r}": ({"claims": {"jti": value}}, {"claims": {"jti": "f" * 32}})
        for value in ("", "f", "F" * 32, "g" * 32, "f" * 33, "f" * 32 + "\n", None, 1, ["f" * 32])
    },
    "a claim more": ({"claims": {"admin": True}}, {}),
    "a role": ({"claims": {"scope": "admin"}}, {}),
    # Its JSON.
    "a payload that is a list": ({"claims_text": lambda text: f"[{text}]"}, {"claims_text": lambda text: f" {text}"}),
    "a payload that is a text": ({"claims_text": json.dumps}, {}),
    "a payload that is null": ({"claims_text": lambda _: "null"}, {}),
    "a payload that is a number": ({"claims_text": lambda _: "1"}, {}),
    "an empty object": ({"claims_text": lambda _: "{}"}, {}),
    "a payload that is not JSON": ({"claims_text": lambda text: text[:-1]}, {}),
    "a payload with something after it": (
        {"claims_text": lambda text: text + "{}"},
        {"claims_text": lambda text: text + "\n"},
    ),
    "a payload with a comma too many": ({"claims_text": lambda text: text[:-1] + ",}"}, {}),
    "a payload in other quotes": ({"claims_text": lambda text: text.replace('"', "'")}, {}),
    "a payload in UTF-16": (
        {"claims_text": lambda text: text.encode("utf-16")},
        {"claims_text": lambda text: text.encode()},
    ),
    "a payload with a byte order mark": ({"claims_text": lambda text: "\ufeff" + text}, {}),
    "a payload that is not UTF-8": ({"claims_text": lambda text: text.encode() + b"\xff"}, {}),
    "a payload with a NUL after it": ({"claims_text": lambda text: text + "\0"}, {}),
    "a payload that nests deeply": ({"claims_text": lambda _: "[" * 5_000}, {}),
    "objects that nest deeply": ({"claims_text": lambda _: '{"a":' * 1_100}, {}),
    "a claim twice": ({"claims_text": member(f'"sid": "{SESSION}"')}, {"claims_text": lambda text: text + " "}),
    "a claim twice, once escaped": ({"claims_text": member(rf'"\u0073id": "{SESSION}"')}, {}),
    "exp twice": ({"claims_text": member('"exp": 9999999999')}, {}),
    "a member twice within a claim": ({"claims": {"jti": ABSENT}, "claims_text": member('"jti": {"a":1,"a":1}')}, {}),
    "alg twice": ({"header_text": member('"alg": "HS256"')}, {"header_text": lambda text: text + " "}),
    "alg twice, first none": (
        {"header": {"alg": "none"}, "header_text": member('"alg": "HS256"')},
        {"header": {"alg": "HS256"}},
    ),
    "kid twice": ({"header_text": member(f'"kid": "{NEWEST.kid}"')}, {}),
    "a header that is a list": ({"header_text": lambda text: f"[{text}]"}, {}),
    "a header that is not JSON": ({"header_text": lambda text: text[1:]}, {}),
    "a header that is not UTF-8": ({"header_text": lambda text: text.encode() + b"\xff"}, {}),
    "a header that nests deeply": ({"header_text": lambda _: "[" * 5_000}, {}),
    "a header with NaN": ({"header_text": member('"x": NaN')}, {}),
    # Its shape.
    "no signature": ({"shape": "{0}.{1}.".format}, {}),
    "no signature and no dot": ({"shape": "{0}.{1}".format}, {}),
    "the header alone": ({"shape": "{0}".format}, {}),
    "no header": ({"shape": ".{1}.{2}".format}, {}),
    "no payload": ({"shape": "{0}..{2}".format}, {}),
    "no payload, signed so": ({"claims_segment": lambda _: ""}, {}),
    "nothing but dots": ({"shape": "..".format}, {}),
    "nothing": ({"shape": "".format}, {}),
    "four segments": ({"shape": "{0}.{1}.{2}.{2}".format}, {}),
    "a dot after it": ({"shape": "{0}.{1}.{2}.".format}, {}),
    "a dot before it": ({"shape": ".{0}.{1}.{2}".format}, {}),
    "five segments": ({"shape": "{0}.{1}.{2}.{1}.{2}".format}, {}),
    "a JWE": ({"header": {"alg": "dir", "enc": "A256GCM"}, "shape": "{0}..{1}.{1}.{2}".format}, {}),
    "the JSON form of a JWS": ({"shape": '{{"protected":"{0}","payload":"{1}","signature":"{2}"}}'.format}, {}),
    "Bearer before it": ({"shape": "Bearer {}.{}.{}".format}, {}),
    "quotes around it": ({"shape": '"{}.{}.{}"'.format}, {}),
    **{
        f"{what} {where}": ({"shape": shape.replace("*", character).format}, {"shape": shape.replace("*", "").format})
        for what, character in {
            "a blank": " ", "a tab": "\t", "a line feed": "\n", "a carriage return": "\r", "a NUL": "\0", "an é": "é",
            "a wide letter": "Ａ", "a joiner": "\u200d", "a line separator": "\u2028", "half a character": "\ud800",
            "a padding": "=", "a plus": "+", "a slash": "/", "a percent sign": "%", "a comma": ",", "a letter": "A",
        }.items()
        for where, shape in {
            "before": "*{}.{}.{}", "after": "{}.{}.{}*", "before the payload": "{}.*{}.{}",
            "after the header": "{}*.{}.{}", "after the payload": "{}.{}*.{}", "before the signature": "{}.{}.*{}",
        }.items()
    },
    "the padding that base64 asks for": ({"shape": "{}.{}.{}=".format}, {}),
    "a header padded and signed so": (
        {"header_text": sized(1), "header_segment": "{}==".format},
        {"header_text": sized(1)},
    ),
    "a payload padded and signed so": (
        {"claims_text": sized(2), "claims_segment": "{}=".format},
        {"claims_text": sized(2)},
    ),
    "a signature spelt otherwise": ({"shape": lambda h, p, s: f"{h}.{p}.{other_spelling(s)}"}, {}),
    **{
        f"a {part} of {left} bytes more than threes, spelt otherwise and signed so": (
            {f"{part}_text": sized(left), f"{part}_segment": other_spelling},
            {f"{part}_text": sized(left)},
        )
        for part in ("header", "claims")
        for left in (1, 2)
    },
    "a segment of a length that base64 does not have": (
        {"claims_text": sized(0), "claims_segment": "{}A".format},
        {"claims_text": sized(0)},
    ),
    "a header of another token": ({"shape": lambda h, p, s: f"{encoded('{}')}.{p}.{s}"}, {}),
    "a truncated signature": ({"shape": lambda h, p, s: f"{h}.{p}.{s[:40]}"}, {}),
    "the signature twice": ({"shape": lambda h, p, s: f"{h}.{p}.{s}{s}"}, {}),
    "a signature in hexadecimal": (
        {"shape": lambda h, p, s: f"{h}.{p}.{base64.urlsafe_b64decode(s + '=').hex()}"},
        {"shape": lambda h, p, s: f"{h}.{p}.{encoded(base64.urlsafe_b64decode(s + '='))}"},
    ),
    "a signature of zeros": ({"shape": lambda h, p, s: f"{h}.{p}.{encoded(bytes(32))}"}, {}),
    "one character more than a token may have": (
        {"claims_text": lengthened(TOKEN_CHARACTERS_MAX)},
        {"claims_text": lengthened(TOKEN_CHARACTERS_MAX - 250)},
    ),
    "a thousand times what a token may have": ({"shape": lambda h, p, s: f"{h}.{p * 10_000}.{s}"}, {}),
}  # fmt: skip

OF_ACCESS: dict[str, tuple[Changes, Changes]] = {
    "a refresh token": ({"header": {"typ": "refresh+jwt"}}, {"header": {"typ": "at+jwt"}}),
    "what a refresh token says": ({"claims": {"sub": ABSENT, "turn": 1}}, {}),
    "a turn as well": ({"claims": {"turn": 1}}, {}),
    "longer than access tokens are good": (
        {"claims": {"exp": after(ACCESS_SECONDS + 5)}},
        {"claims": {"exp": after(ACCESS_SECONDS)}},
    ),
    "no sub": ({"claims": {"sub": ABSENT}}, {}),
    **{
        f"sub {value!r}": ({"claims": {"sub": value}}, {"claims": {"sub": SESSION}})
        for value in (
            "", "owner", USER.lower(), USER + "\n", USER + "0", USER[:-1], "8" + USER[1:], USER[:-1] + "I", None, 1,
            True, 1.5, [USER], {"sub": USER},
        )
    },
}  # fmt: skip
OF_REFRESH: dict[str, tuple[Changes, Changes]] = {
    "an access token": ({"header": {"typ": "at+jwt"}}, {"header": {"typ": "refresh+jwt"}}),
    "what an access token says": ({"claims": {"turn": ABSENT, "sub": USER}}, {}),
    "a sub as well": ({"claims": {"sub": USER}}, {}),
    "longer than refresh tokens are good": (
        {"claims": {"exp": after(REFRESH_SECONDS + CLOCK_SKEW_SECONDS + 5)}},
        {"claims": {"exp": after(REFRESH_SECONDS)}},
    ),
    "no turn": ({"claims": {"turn": ABSENT}}, {}),
    **{
        f"turn {value!r}": ({"claims": {"turn": value}}, {"claims": {"turn": 2}})
        for value in (-1, 2**31, BIG, 1.0, 1.5, "1", True, False, None, [1], {})
    },
}
CASES = [
    pytest.param(KINDS[kind], wrong, right, id=f"{kind}: {name!a}")
    for kind, own in (("access", OF_ACCESS), ("refresh", OF_REFRESH))
    for name, (wrong, right) in {**ATTACKS, **own}.items()
]


@pytest.mark.parametrize(("kind", "wrong", "right"), CASES)
def test_an_attack_is_refused_and_its_twin_is_not(kind: Kind, wrong: Changes, right: Changes) -> None:
    assert kind.check(forge(kind, **right))
    with pytest.raises(InvalidToken):
        kind.check(forge(kind, **wrong))


def test_every_attack_has_a_name_of_its_own() -> None:
    assert len({case.id for case in CASES}) == len(CASES) >= 80


def test_a_token_of_one_kind_is_none_of_the_other() -> None:
    access, refresh = TOKENS.issue_access(USER, SESSION), TOKENS.issue_refresh(SESSION, 1, in_seconds(60))
    assert TOKENS.check_access(access)
    assert TOKENS.check_refresh(refresh)
    with pytest.raises(InvalidToken):
        TOKENS.check_access(refresh)
    with pytest.raises(InvalidToken):
        TOKENS.check_refresh(access)


def test_a_signature_with_any_one_bit_changed_is_refused() -> None:
    head, _, signature = forge(KINDS["access"]).rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "=")
    assert TOKENS.check_access(f"{head}.{encoded(raw)}")
    for bit in range(256):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidToken):
            TOKENS.check_access(f"{head}.{encoded(bytes(changed))}")


def test_the_usual_base64_alphabet_is_refused() -> None:
    token = next(made for made in (TOKENS.issue_access(USER, SESSION) for _ in range(1_000)) if {"-", "_"} & set(made))
    assert TOKENS.check_access(token)
    with pytest.raises(InvalidToken):
        TOKENS.check_access(token.replace("-", "+").replace("_", "/"))


def test_a_token_is_read_up_to_its_greatest_length_and_no_further() -> None:
    def padded(blanks: int) -> Callable[[str], str]:
        return lambda text: text + " " * blanks

    made = [
        forge(KINDS["access"], header_text=padded(first), claims_text=padded(second))
        for first in range(3)
        for second in range(TOKEN_CHARACTERS_MAX * 3 // 4 - 500, TOKEN_CHARACTERS_MAX * 3 // 4 - 300)
    ]
    by_length = {len(token): token for token in made}
    assert TOKENS.check_access(by_length[TOKEN_CHARACTERS_MAX])
    with pytest.raises(InvalidToken):
        TOKENS.check_access(by_length[TOKEN_CHARACTERS_MAX + 1])


# When it is.


def test_an_access_token_is_good_for_exactly_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    token = TOKENS.issue_access(USER, SESSION, now=2_000_000_000)
    for second, good in (
        (-CLOCK_SKEW_SECONDS - 0.001, False),
        (-CLOCK_SKEW_SECONDS, True),
        (0, True),
        (ACCESS_SECONDS - 0.001, True),
        (ACCESS_SECONDS, False),
    ):
        monkeypatch.setattr(time, "time", lambda second=second: 2_000_000_000 + second)
        if good:
            assert TOKENS.check_access(token).expires_at == 2_000_000_000 + ACCESS_SECONDS
        else:
            with pytest.raises(InvalidToken):
                TOKENS.check_access(token)


def test_a_token_that_was_believed_is_not_where_the_clock_is_set_back_before_it(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = current.access(app)
    claims = AccessClaims("user", "session", 2_000_000_000 + ACCESS_SECONDS)
    access._checked["token"] = claims
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0 - CLOCK_SKEW_SECONDS)
    assert access._check_access("token") is claims
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0 - 3600)
    with pytest.raises(InvalidToken):
        access._check_access("token")


def test_a_refresh_token_is_good_until_its_session_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    until = dt.datetime.fromtimestamp(2_000_000_000 + REFRESH_SECONDS, dt.UTC)
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.5)
    token = TOKENS.issue_refresh(SESSION, 1, until)
    monkeypatch.setattr(time, "time", lambda: until.timestamp() - 0.001)
    assert TOKENS.check_refresh(token) == RefreshClaims(SESSION, 1)
    monkeypatch.setattr(time, "time", until.timestamp)
    with pytest.raises(InvalidToken, match="expired"):
        TOKENS.check_refresh(token)


def test_what_is_wrong_with_the_time_is_said_only_of_our_own_tokens() -> None:
    """To whoever cannot sign, every token is just not valid."""
    past = {"iat": after(-20), "nbf": after(-20), "exp": after(-1)}
    with pytest.raises(InvalidToken, match="has expired"):
        TOKENS.check_access(forge(KINDS["access"], claims=past))
    with pytest.raises(InvalidToken, match="not valid yet"):
        TOKENS.check_access(forge(KINDS["access"], claims={"nbf": after(300)}))
    with pytest.raises(InvalidToken) as caught:
        TOKENS.check_access(forge(KINDS["access"], claims=past, secret=b"another"))
    assert caught.value.detail is None


# Chance.

CHANGES = 10_000


def changed(chance: random.Random, token: str, other: str) -> str:
    """A token with one to three random changes, or mixed with another."""
    characters = list(token)
    alphabet = [*string.ascii_letters, *string.digits, *"-_.=+/ \n\r\t\0é\ud800", *map(chr, range(256))]
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        place = chance.randrange(len(characters))
        match chance.randrange(7):
            case 0:  # one bit
                characters[place] = chr(ord(characters[place]) ^ 1 << chance.randrange(8))
            case 1:
                characters[place] = chance.choice(alphabet)
            case 2:
                characters.insert(place, chance.choice(alphabet))
            case 3:
                del characters[place : place + chance.choice((1, 1, 2, 10, 100))]
            case 4:
                another = chance.randrange(len(characters))
                characters[place], characters[another] = characters[another], characters[place]
            case 5:
                segments = ["".join(characters).split("."), other.split(".")]
                mixed = [chance.choice(segments)[number : number + 1] for number in range(3)]
                characters = list(".".join(part for parts in mixed for part in parts))
            case _:
                characters[place:] = other[place:]
        if not characters:
            break
    return "".join(characters)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_no_change_of_a_token_makes_another_good_one(name: str) -> None:
    kind = KINDS[name]
    chance = random.Random(20_261_121)
    others = {"sid": USER, "jti": "f" * 32}
    token = forge(kind)
    # Of another key, so that a mix of headers is one, too.
    other = forge(kind, header={"kid": OLDER.kid}, claims=others, secret=OLDER.secret)
    assert kind.check(token) != kind.check(other)
    accepted = set()
    refused = 0
    for _ in range(CHANGES):
        candidate = changed(chance, token, other)
        try:
            kind.check(candidate)
        except InvalidToken:
            refused += 1
        else:
            accepted.add(candidate)
    assert accepted <= {token, other}
    assert refused > CHANGES * 0.9


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.sampled_from([USER, "cashman"]),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=5), inside, max_size=3),
    max_leaves=5,
)
NAMES = ("iss", "aud", "iat", "nbf", "exp", "jti", "sid", "sub", "turn", "alg", "kid", "typ", "x")


@settings(derandomize=True, deadline=None, max_examples=500)
@given(
    header=st.dictionaries(st.sampled_from(NAMES[-4:]), json_values, max_size=2),
    claims=st.dictionaries(st.sampled_from(NAMES), json_values, min_size=1, max_size=3),
    kind=st.sampled_from(sorted(KINDS)),
)
def test_whatever_is_signed_with_our_key_raises_nothing_but_invalid_token(
    header: dict[str, Any], claims: dict[str, Any], kind: str
) -> None:
    checked = KINDS[kind]
    try:
        found = checked.check(forge(checked, header=header, claims=claims))
    except InvalidToken:
        return
    # Only what is just what we would have written ourselves is let through.
    assert isinstance(found, AccessClaims | RefreshClaims)
    assert all(header[name] == {"alg": "HS256", "kid": NEWEST.kid, "typ": checked.typ}.get(name) for name in header)
    assert claims.keys() <= {"iss", "aud", "iat", "nbf", "exp", "jti", "sid", *checked.own}


@settings(derandomize=True, deadline=None, max_examples=500)
@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: f"{encoded(data)}.{encoded(data)}.AAAA"))
def test_no_text_is_a_token_by_chance(text: str) -> None:
    for kind in KINDS.values():
        with pytest.raises(InvalidToken):
            kind.check(text)


def test_a_keyring_out_of_reach_is_told_as_it_is() -> None:
    """A store that is down is no reason to call a token invalid, and so to end somebody's session."""

    def gone() -> Keyring:
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        Tokens(gone).check_access(TOKENS.issue_access(USER, SESSION))


def test_a_given_key_is_what_the_digest_is_made_with() -> None:
    """As any other implementation would make it of CASHMAN_SECRET_KEY."""
    head, _, signature = TOKENS.issue_access(USER, SESSION).rpartition(".")
    assert encoded(hmac.digest(SECRETS[0].encode(), head.encode(), hashlib.sha256)) == signature
