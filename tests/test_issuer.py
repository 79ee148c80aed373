"""An outside issuer: a real one on the loopback, with real keys, and all that may be wrong with it or its tokens."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from cashman.access import issuer as issuer_module
from cashman.access.issuer import KEYS_SECONDS, PAUSE_SECONDS, Issuer, OutsideClaims
from cashman.errors import InvalidToken
from cashman.limits import CLOCK_SKEW_SECONDS, DOCUMENT_BYTES_MAX, TOKEN_CHARACTERS_MAX

ROOT = Path(__file__).resolve().parents[1]
ISSUER = "https://issuer.example/realms/home"
AUDIENCE = "cashman"
ABSENT = object()

RSA = rsa.generate_private_key(65_537, 2048)
KEYS: dict[str, Any] = {
    "RS256": RSA,
    "RS384": RSA,
    "RS512": RSA,
    "PS256": RSA,
    "PS384": RSA,
    "PS512": RSA,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
ED448 = ed448.Ed448PrivateKey.generate()
OTHERS = {
    "RS256": rsa.generate_private_key(65_537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
ALGORITHMS = get_default_algorithms()
PATIENCE_SECONDS = 30
"""Far longer than anything takes that does not hang."""


def jwk(algorithm: str, kid: str, key: Any = None, **members: Any) -> dict[str, Any]:
    """The public half of a key, as an issuer publishes it."""
    public = (key or KEYS[algorithm]).public_key()
    data = ALGORITHMS[algorithm].to_jwk(public, as_dict=True)
    return {**data, "kid": kid, "use": "sig", "alg": algorithm, **members}


def without(data: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in names}


def label(value: Any) -> str:
    """The name of a test's parameter."""
    text = "absent" if value is ABSENT else ascii(value)
    return text if len(text) <= 40 else f"{text[:20]} of {len(text)}"


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "f81d4fae", "iat": now, "nbf": now, "exp": now + 300}
    return {name: value for name, value in {**good, **changes}.items() if value is not ABSENT}


def signed(
    says: Any = None,
    *,
    algorithm: str = "RS256",
    kid: Any = "rsa",
    key: Any = None,
    header: dict[str, Any] | None = None,
    sign: Callable[[bytes], bytes] | None = None,
) -> str:
    """A token as the issuer signs it; without anything said, a good one."""
    members = {"alg": algorithm, "kid": kid, "typ": "JWT", **(header or {})}
    members = {name: value for name, value in members.items() if value is not ABSENT}
    payload = says if isinstance(says, str) else json.dumps(claims() if says is None else says)
    text = f"{encoded(json.dumps(members))}.{encoded(payload)}"
    if sign is None:
        signature = ALGORITHMS[algorithm].sign(text.encode(), key or KEYS[algorithm])
    else:
        signature = sign(text.encode())
    return f"{text}.{encoded(signature)}"


def encoded(data: str | bytes) -> str:
    raw = data if isinstance(data, bytes) else data.encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class Publisher:
    """A server with a key set, which counts how often it is asked and may behave badly."""

    def __init__(self) -> None:
        self.keys: list[Any] = [jwk("RS256", "rsa")]
        self.asked: list[str] = []
        self.answer: Callable[[BaseHTTPRequestHandler], None] = self.publish
        self.ended = threading.Event()
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                publisher.asked.append(self.path)
                publisher.answer(self)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                """Who asked may have gone meanwhile."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/keys"

    def publish(self, handler: BaseHTTPRequestHandler) -> None:
        self.send(handler, json.dumps({"keys": self.keys}).encode())

    @staticmethod
    def send(handler: BaseHTTPRequestHandler, content: bytes, status: int = 200, **headers: str) -> None:
        handler.send_response(status)
        for name, value in {"Content_Length": str(len(content)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)

    def answers(self, content: bytes, status: int = 200, **headers: str) -> None:
        """Answer so from now on."""
        self.answer = lambda handler: self.send(handler, content, status, **headers)

    def end(self) -> None:
        """Answer nobody any more."""
        self.ended.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made = Publisher()
    yield made
    made.end()


@pytest.fixture
def issuer(publisher: Publisher) -> Issuer:
    return Issuer(ISSUER, AUDIENCE, publisher.url)


class Clock:
    """A clock for the module alone, which stands until it is moved."""

    def __init__(self) -> None:
        self.passed = 0.0
        # Whole seconds: what is added to others, and taken off again, may be a hair off.
        self._began = float(int(time.time())), float(int(time.monotonic()))

    def time(self) -> float:
        return self._began[0] + self.passed

    def monotonic(self) -> float:
        return self._began[1] + self.passed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(issuer_module, "time", SimpleNamespace(time=made.time, monotonic=made.monotonic))
    return made


def refused(issuer: Issuer, token: str, match: str | None = None) -> None:
    with pytest.raises(InvalidToken, match=match):
        issuer.check(token)


# What is believed.


@pytest.mark.parametrize("algorithm", KEYS)
@pytest.mark.parametrize("stated", [True, False], ids=["stated", "not stated"])
def test_a_token_of_each_algorithm_is_believed(
    issuer: Issuer, publisher: Publisher, algorithm: str, stated: bool
) -> None:
    """Whether or not the key says what it is for."""
    key = jwk(algorithm, "a key")
    publisher.keys = [key if stated else without(key, "alg", "use", "key_ops")]
    says = claims(email="anna@example.com", email_verified=True)
    token = signed(says, algorithm=algorithm, kid="a key")
    assert issuer.check(token) == OutsideClaims("f81d4fae", "anna@example.com", says["exp"])
    head, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    for place in (0, len(raw) // 2, len(raw) - 1):
        wrong = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        refused(issuer, f"{head}.{encoded(wrong)}")
    for wrong in (raw[:-1], raw + b"\0", raw * 2, b"\0", bytes(len(raw)), b"\xff" * len(raw)):
        refused(issuer, f"{head}.{encoded(wrong)}")


def test_a_token_signed_with_ed448_is_believed(issuer: Issuer, publisher: Publisher) -> None:
    publisher.keys = [jwk("EdDSA", "448", ED448)]
    assert issuer.check(signed(algorithm="EdDSA", kid="448", key=ED448)).subject == "f81d4fae"


def test_many_keys_are_told_apart_by_their_names(issuer: Issuer, publisher: Publisher) -> None:
    publisher.keys = [jwk(name, name) for name in KEYS] + [jwk(name, f"other {name}", OTHERS[name]) for name in OTHERS]
    for name in KEYS:
        assert issuer.check(signed(algorithm=name, kid=name))
    for name in OTHERS:
        assert issuer.check(signed(algorithm=name, kid=f"other {name}", key=OTHERS[name]))
        refused(issuer, signed(algorithm=name, kid=name, key=OTHERS[name]))
        refused(issuer, signed(algorithm=name, kid=f"other {name}"))
    assert publisher.asked == ["/keys"]


def test_two_types_of_key_may_have_one_name(issuer: Issuer, publisher: Publisher) -> None:
    """RFC 7517, 4.5."""
    publisher.keys = [jwk("RS256", "one"), jwk("ES256", "one"), jwk("RS256", "one", OTHERS["RS256"])]
    assert issuer.check(signed(kid="one"))
    assert issuer.check(signed(algorithm="ES256", kid="one"))
    refused(issuer, signed(kid="one", key=OTHERS["RS256"]))  # the first stays


def test_a_library_that_others_use_signs_what_is_believed(issuer: Issuer) -> None:
    assert issuer.check(jwt.encode(claims(), RSA, "RS256", headers={"kid": "rsa"})).subject == "f81d4fae"


def test_a_token_says_whose_it_claims_to_be(issuer: Issuer) -> None:
    assert issuer.issued(signed())
    assert issuer.issued(signed(key=OTHERS["RS256"]))  # whether it is, is another question
    other = Issuer("https://other.example", AUDIENCE, "http://127.0.0.1:9/keys")
    assert not other.issued(signed())
    for iss in (ABSENT, None, 1, [ISSUER], {}, ISSUER + "/", ISSUER.upper()):
        assert not issuer.issued(signed(claims(iss=iss)))
    for text in ("", "a.b.c", "..", "é", "\ud800", signed() + "\n", signed("[]"), signed("not JSON"), "a" * 10_000):
        assert not issuer.issued(text)


def test_whose_a_token_claims_to_be_is_told_without_asking_anybody(issuer: Issuer, publisher: Publisher) -> None:
    assert issuer.issued(signed())
    assert publisher.asked == []


# What is not: keys and algorithms.


def test_a_secret_made_of_the_public_key_is_refused(issuer: Issuer, publisher: Publisher) -> None:
    public = RSA.public_key()
    forms = [
        public.public_bytes(encoding, form)
        for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER)
        for form in (serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1)
    ]
    forms += [form.strip() for form in forms]
    forms += [json.dumps(publisher.keys[0]).encode(), publisher.keys[0]["n"].encode(), b"", b"rsa"]
    assert issuer.check(signed())
    for secret in forms:
        for name, digest in (("HS256", hashlib.sha256), ("HS384", hashlib.sha384), ("HS512", hashlib.sha512)):
            refused(issuer, signed(algorithm=name, sign=lambda text, s=secret, d=digest: hmac.digest(s, text, d)))
            refused(issuer, signed(sign=lambda text, s=secret, d=digest: hmac.digest(s, text, d)))


@pytest.mark.parametrize(
    "name",
    ["HS256", "HS384", "HS512", "none", "None", "", "rs256", "ES256K", "RSA-OAEP", None, 1, []],
    ids=label,
)
def test_an_algorithm_that_is_not_one_of_the_known_is_refused_unasked(
    issuer: Issuer, publisher: Publisher, name: Any
) -> None:
    refused(issuer, signed(header={"alg": name}))
    assert publisher.asked == []


def test_a_token_without_an_algorithm_is_refused(issuer: Issuer) -> None:
    refused(issuer, signed(header={"alg": ABSENT}))


@pytest.mark.parametrize("stated", [True, False], ids=["stated", "not stated"])
@pytest.mark.parametrize("of_key", ["RS256", "ES256", "ES384", "EdDSA"], ids=label)
def test_an_algorithm_of_another_type_of_key_is_refused(
    issuer: Issuer, publisher: Publisher, of_key: str, stated: bool
) -> None:
    """Whoever signed, and with whatever."""
    publisher.keys = [jwk(of_key, "key") if stated else without(jwk(of_key, "key"), "alg")]
    assert issuer.check(signed(algorithm=of_key, kid="key"))
    family = {"RS", "PS"} if of_key == "RS256" and not stated else set()
    for name, key in KEYS.items():
        if name == of_key or name[:2] in family:
            continue
        refused(issuer, signed(algorithm=name, kid="key", key=key))
        refused(issuer, signed(algorithm=of_key, kid="key", header={"alg": name}))


def test_a_key_is_good_for_the_algorithm_that_it_states_and_no_other(issuer: Issuer, publisher: Publisher) -> None:
    publisher.keys = [jwk("PS256", "key")]
    assert issuer.check(signed(algorithm="PS256", kid="key"))
    for name in ("RS256", "RS384", "RS512", "PS384", "PS512"):
        refused(issuer, signed(algorithm=name, kid="key"))


OCT = {"kty": "oct", "kid": "key", "k": encoded(b"a secret of more than thirty-two bytes")}
SHORT = {**jwk("RS256", "key", rsa.generate_private_key(65_537, 1024)), "kid": "key"}
PRIVATE = {**ALGORITHMS["RS256"].to_jwk(RSA, as_dict=True), "kid": "key"}
UNUSABLE: dict[str, Any] = {
    "a symmetric key": OCT,
    "a symmetric key for HS256": {**OCT, "alg": "HS256"},
    "a symmetric key that says RS256": {**OCT, "alg": "RS256", "use": "sig"},
    "an EC key that says RS256": {**jwk("ES256", "key"), "alg": "RS256"},
    "an RSA key that says ES256": {**jwk("RS256", "key"), "alg": "ES256"},
    "an RSA key that says HS256": {**jwk("RS256", "key"), "alg": "HS256"},
    "an RSA key that says none": {**jwk("RS256", "key"), "alg": "none"},
    "an RSA key to encrypt with": {**jwk("RS256", "key"), "alg": "RSA-OAEP", "use": "enc"},
    "a key with another use": {**jwk("RS256", "key"), "use": "enc"},
    "a key with a use of null": {**jwk("RS256", "key"), "use": None},
    "a key to sign with": {**jwk("RS256", "key"), "key_ops": ["sign"]},
    "a key for operations that are no list": {**jwk("RS256", "key"), "key_ops": "verify"},
    "a key for a number of operations": {**jwk("RS256", "key"), "key_ops": 1},
    "an algorithm that is a list": {**jwk("RS256", "key"), "alg": ["RS256"]},
    "a private key": PRIVATE,
    "a key of 1,024 bits": SHORT,
    "a key without a name": without(jwk("RS256", "key"), "kid"),
    "a key with a number for a name": {**jwk("RS256", "key"), "kid": 1},
    "a key with a list for a name": {**jwk("RS256", "key"), "kid": ["key"]},
    "a key with another name": {**jwk("RS256", "key"), "kid": "Key"},
    "a key of no type": without(jwk("RS256", "key"), "kty"),
    "a key of another type": {**jwk("RS256", "key"), "kty": "rsa"},
    "a key with a list for a type": {**jwk("RS256", "key"), "kty": ["RSA"]},
    "a key without its modulus": without(jwk("RS256", "key"), "n"),
    "a key with a number for a modulus": {**jwk("RS256", "key"), "n": 1},
    "a key with a modulus that is null": {**jwk("RS256", "key"), "n": None},
    "a key with a modulus of nothing": {**jwk("RS256", "key"), "n": ""},
    "a key with a modulus in Cyrillic": {**jwk("RS256", "key"), "n": "ключ"},
    "a key with the exponent one": {**jwk("RS256", "key"), "e": encoded(b"\1")},
    "a key with the exponent zero": {**jwk("RS256", "key"), "e": "AA"},
    "a curve that nobody knows": {**jwk("ES256", "key"), "crv": "P-1"},
    "Bitcoin's curve": jwk("ES256K", "key", ec.generate_private_key(ec.SECP256K1())),
    "a point that is not on its curve": {**jwk("ES256", "key"), "x": encoded(b"\1" * 32)},
    "a point of another curve": {**jwk("ES256", "key"), "crv": "P-384", "alg": "ES384"},
    "an Ed25519 key of one byte": {**jwk("EdDSA", "key"), "x": "AA"},
    "a key to agree on keys with": {**jwk("EdDSA", "key"), "crv": "X25519"},
    "a text": "key",
    "a number": 1,
    "null": None,
    "a list": [jwk("RS256", "key")],
    "an empty object": {},
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_a_key_that_cannot_show_who_signed_is_passed_over(issuer: Issuer, publisher: Publisher, what: str) -> None:
    """And those beside it are still good."""
    publisher.keys = [UNUSABLE[what], jwk("RS256", "rsa"), UNUSABLE[what]]
    assert issuer.check(signed())
    for name in KEYS:
        refused(issuer, signed(algorithm=name, kid="key"))
    secret = base64.urlsafe_b64decode(OCT["k"] + "==")
    refused(issuer, signed(algorithm="HS256", kid="key", sign=lambda text: hmac.digest(secret, text, "sha256")))
    assert len(publisher.asked) == 2  # for the name that nobody knows, once more


@pytest.mark.parametrize(
    "kid", [ABSENT, None, 1, True, ["rsa"], {"kid": "rsa"}, "", "RSA", "rsa ", "../rsa", "\ud800"], ids=label
)
def test_a_token_that_does_not_name_a_key_is_refused(issuer: Issuer, kid: Any) -> None:
    assert issuer.check(signed())
    refused(issuer, signed(kid=kid))


def test_keys_that_a_token_brings_along_are_not_looked_at(issuer: Issuer, publisher: Publisher) -> None:
    own = jwk("RS256", "rsa", OTHERS["RS256"])
    for header in ({"jwk": own}, {"jku": publisher.url + "/evil"}, {"x5u": publisher.url + "/evil"}, {"x5c": ["MIIB"]}):
        refused(issuer, signed(key=OTHERS["RS256"], header=header))
        assert issuer.check(signed(header=header))  # some issuers name their certificate, and that is all
    assert publisher.asked == ["/keys"]


@pytest.mark.parametrize(
    "header", [{"crit": ["exp"]}, {"crit": []}, {"crit": ["b64"], "b64": False}, {"b64": True}], ids=label
)
def test_a_header_that_asks_for_more_is_refused(issuer: Issuer, header: dict[str, Any]) -> None:
    refused(issuer, signed(header=header))


# What is not: claims.


@pytest.mark.parametrize(
    "iss",
    [ABSENT, None, "", ISSUER + "/", ISSUER.upper(), "https://evil.example", [ISSUER], 1, {}],
    ids=label,
)
def test_a_token_of_another_issuer_is_refused(issuer: Issuer, publisher: Publisher, iss: Any) -> None:
    refused(issuer, signed(claims(iss=iss)))
    assert publisher.asked == []


@pytest.mark.parametrize("aud", [AUDIENCE, [AUDIENCE], ["account", AUDIENCE], [AUDIENCE, 1, None, {}]], ids=label)
def test_a_token_may_be_for_others_as_well(issuer: Issuer, aud: Any) -> None:
    assert issuer.check(signed(claims(aud=aud)))


@pytest.mark.parametrize(
    "aud",
    [ABSENT, None, "", "account", "Cashman", "cashman ", "cash", "cashman,other", [], ["a"], [[AUDIENCE]], {}, 1],
    ids=label,
)  # fmt: skip
def test_a_token_for_others_alone_is_refused(issuer: Issuer, publisher: Publisher, aud: Any) -> None:
    refused(issuer, signed(claims(aud=aud)))
    assert publisher.asked == []


def test_a_token_is_good_for_its_time_and_a_little_longer(issuer: Issuer, clock: Clock) -> None:
    now = int(clock.time())
    token = signed(claims(iat=now, nbf=now, exp=now + 300))
    start = now - clock.time()
    for second, told in (
        (-CLOCK_SKEW_SECONDS - 1, "not valid yet"),
        (-CLOCK_SKEW_SECONDS, None),
        (0, None),
        (300 + CLOCK_SKEW_SECONDS - 1, None),
        (300 + CLOCK_SKEW_SECONDS, "expired"),
    ):
        clock.passed = start + second
        if told is None:
            assert issuer.check(token).expires_at == now + 300
        else:
            refused(issuer, token, told)


@pytest.mark.parametrize("name", ["iat", "nbf"], ids=label)
def test_a_token_from_the_future_is_refused(issuer: Issuer, name: str) -> None:
    assert issuer.check(signed(claims(**{name: int(time.time()) - 5})))
    refused(issuer, signed(claims(**{name: int(time.time()) + CLOCK_SKEW_SECONDS + 60})), "not valid yet")


def test_only_the_end_has_to_be_told(issuer: Issuer) -> None:
    assert issuer.check(signed(claims(iat=ABSENT, nbf=ABSENT)))
    refused(issuer, signed(claims(exp=ABSENT)))


def test_an_instant_may_have_a_fraction(issuer: Issuer) -> None:
    """RFC 7519, 2."""
    exp = time.time() + 60.5
    assert issuer.check(signed(claims(exp=exp, iat=exp - 70, nbf=exp - 70.25))).expires_at == int(exp)


@pytest.mark.parametrize(
    "instant",
    [
        None,
        "",
        "9999999999",
        True,
        False,
        [],
        {},
        -1,
        10**12,
        10**400,
        1e300,
        float("nan"),
        float("inf"),
        -float("inf"),
    ],
    ids=label,
)
@pytest.mark.parametrize("name", ["exp", "iat", "nbf"], ids=label)
def test_what_is_no_instant_is_refused(issuer: Issuer, name: str, instant: Any) -> None:
    refused(issuer, signed(claims(**{name: instant})))


def test_an_instant_beyond_floats_is_refused(issuer: Issuer) -> None:
    text = json.dumps(claims(exp=ABSENT))
    assert issuer.check(signed(f'{text[:-1]}, "exp": 99999999999}}'))
    refused(issuer, signed(f'{text[:-1]}, "exp": 1e999}}'))
    refused(issuer, signed(f'{text[:-1]}, "exp": {"1" * 5_000}}}'))


@pytest.mark.parametrize(
    "sub", ["a", "a" * 255, "ü" * 255, "auth0|5f7c", "anna@example.com", " ", "😀" * 255], ids=label
)
def test_a_subject_is_taken_as_it_is(issuer: Issuer, sub: str) -> None:
    assert issuer.check(signed(claims(sub=sub))).subject == sub


@pytest.mark.parametrize("sub", [ABSENT, None, "", "a" * 256, "a\0b", "\ud800", 1, True, ["a"], {"a": 1}], ids=label)
def test_what_is_no_subject_is_refused(issuer: Issuer, sub: Any) -> None:
    refused(issuer, signed(claims(sub=sub)))


@pytest.mark.parametrize(
    "verified", [ABSENT, None, False, "true", "True", 1, 1.0, "1", [True], {}, "false", 0], ids=label
)
def test_an_email_that_nobody_has_verified_is_not_told(issuer: Issuer, verified: Any) -> None:
    assert issuer.check(signed(claims(email="anna@example.com", email_verified=verified))).email is None


@pytest.mark.parametrize(
    "email", [ABSENT, None, "", 1, True, ["a@b.example"], {}, "a" * 255, "a\0@b", "\ud800@b"], ids=label
)
def test_what_is_no_email_is_not_told(issuer: Issuer, email: Any) -> None:
    assert issuer.check(signed(claims(email=email, email_verified=True))).email is None


def test_a_verified_email_is_told(issuer: Issuer) -> None:
    assert issuer.check(signed(claims(email="Anna@Example.com", email_verified=True))).email == "Anna@Example.com"


@pytest.mark.parametrize("typ", [ABSENT, "JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"], ids=label)
def test_what_access_tokens_call_themselves_is_taken(issuer: Issuer, typ: Any) -> None:
    assert issuer.check(signed(header={"typ": typ}))


@pytest.mark.parametrize("typ", [ABSENT, "Bearer", "bearer", "JWT", "at+jwt", "access"], ids=label)
def test_what_access_tokens_claim_to_be_is_taken(issuer: Issuer, typ: Any) -> None:
    assert issuer.check(signed(claims(typ=typ)))


@pytest.mark.parametrize(
    "typ",
    [
        "ID", "id", "Refresh", "refresh", "Offline", "Logout", "logout+jwt", "refresh+jwt", "dpop+jwt", "DPoP", "JWE",
        "", None, 1, [], ["JWT"],
    ],
    ids=label,
)  # fmt: skip
def test_a_token_for_something_else_is_refused(issuer: Issuer, publisher: Publisher, typ: Any) -> None:
    refused(issuer, signed(header={"typ": typ}))
    refused(issuer, signed(claims(typ=typ)))
    assert publisher.asked == []


@pytest.mark.parametrize("name", ["at_hash", "c_hash", "events"], ids=label)
def test_a_token_with_what_only_other_tokens_have_is_refused(issuer: Issuer, name: str) -> None:
    assert issuer.check(signed(claims(nonce="some issuers put it in every token")))
    refused(issuer, signed(claims(**{name: "x"})))


@pytest.mark.parametrize(
    "payload", ["[]", "null", '"text"', "1", "{}", "", "not JSON", "[" * 3_000, '{"iss":1,"iss":1}'], ids=label
)
def test_what_is_no_object_of_claims_is_refused(issuer: Issuer, payload: str) -> None:
    refused(issuer, signed(payload))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_json_is_refused_wherever_it_stands(issuer: Issuer, number: str) -> None:
    text = json.dumps(claims())
    assert issuer.check(signed(f'{text[:-1]}, "x": [1]}}'))
    refused(issuer, signed(f'{text[:-1]}, "x": [{number}]}}'))


def test_a_claim_twice_is_refused(issuer: Issuer) -> None:
    text = json.dumps(claims())
    assert issuer.check(signed(text))
    refused(issuer, signed(f'{text[:-1]}, "sub": "another"}}'))


def test_a_token_of_another_shape_is_refused(issuer: Issuer) -> None:
    token = signed()
    header, payload, signature = token.split(".")
    assert issuer.check(token)
    for wrong in (
        f"{header}.{payload}.", f"{header}.{payload}", f"{header}..{signature}", f".{payload}.{signature}", "", "..",
        f"{token}.{signature}", f"{token}.", f"{token}\n", f" {token}", f"{token}=", f"{token}é", f"{token}\0",
        f"{header}.{payload}.{payload}.{payload}.{signature}", "a" * (TOKEN_CHARACTERS_MAX + 1),
    ):  # fmt: skip
        refused(issuer, wrong)


def test_a_long_token_is_refused(issuer: Issuer) -> None:
    assert issuer.check(signed(claims(groups="x" * 5_000)))
    refused(issuer, signed(claims(groups="x" * 7_000)))


def test_parts_of_two_tokens_do_not_make_one(issuer: Issuer) -> None:
    one, other = (signed(claims(sub=sub)).split(".") for sub in ("one", "other"))
    assert issuer.check(".".join(one))
    refused(issuer, f"{one[0]}.{other[1]}.{one[2]}")
    refused(issuer, f"{one[0]}.{one[1]}.{other[2]}")


# When keys are fetched.


def test_keys_are_fetched_once_for_many_tokens(issuer: Issuer, publisher: Publisher, clock: Clock) -> None:
    for _ in range(5):
        assert issuer.check(signed())
    clock.passed = KEYS_SECONDS - 1
    assert issuer.check(signed())
    assert len(publisher.asked) == 1
    clock.passed = KEYS_SECONDS
    assert issuer.check(signed(claims(exp=int(time.time()) + 2 * KEYS_SECONDS)))
    assert len(publisher.asked) == 2


def lasting(**changes: Any) -> dict[str, Any]:
    """Claims that are good for days."""
    return claims(exp=int(time.time()) + 10 * 86_400, **changes)


def test_a_key_that_takes_over_is_believed_at_once(issuer: Issuer, publisher: Publisher, clock: Clock) -> None:
    assert issuer.check(signed(lasting()))
    publisher.keys.append(jwk("ES256", "next"))
    assert issuer.check(signed(lasting(), algorithm="ES256", kid="next"))
    assert issuer.check(signed(lasting()))
    assert len(publisher.asked) == 2


def test_a_key_that_is_withdrawn_is_believed_for_five_minutes_at_most(
    issuer: Issuer, publisher: Publisher, clock: Clock
) -> None:
    assert issuer.check(signed(lasting()))
    publisher.keys = [jwk("ES256", "next")]
    clock.passed = KEYS_SECONDS - 1
    assert issuer.check(signed(lasting()))
    clock.passed = KEYS_SECONDS
    refused(issuer, signed(lasting()))
    assert issuer.check(signed(lasting(), algorithm="ES256", kid="next"))


def test_an_issuer_that_withdraws_all_its_keys_is_taken_at_its_word(
    issuer: Issuer, publisher: Publisher, clock: Clock
) -> None:
    assert issuer.check(signed(lasting()))
    publisher.keys = []
    clock.passed = KEYS_SECONDS
    refused(issuer, signed(lasting()))


def test_names_that_nobody_knows_are_asked_for_once_in_half_a_minute(
    issuer: Issuer, publisher: Publisher, clock: Clock
) -> None:
    """Or whoever makes up names could have the issuer asked without end."""
    assert issuer.check(signed(lasting()))
    counts = []
    for second in (0, 1, PAUSE_SECONDS - 1, PAUSE_SECONDS, PAUSE_SECONDS + 1, 2 * PAUSE_SECONDS):
        clock.passed = second
        for number in range(10):
            refused(issuer, signed(lasting(), kid=f"unknown {number}"))
            assert issuer.check(signed(lasting()))
        counts.append(len(publisher.asked))
    assert counts == [2, 2, 2, 3, 3, 4]


def test_a_token_that_cannot_be_good_is_no_reason_to_ask(issuer: Issuer, publisher: Publisher) -> None:
    for token in (
        signed(claims(iss="https://other.example")),
        signed(claims(aud="other")),
        signed(claims(exp=1)),
        signed(claims(nbf=int(time.time()) + 1_000)),
        signed(header={"alg": "HS256"}),
        signed(kid=ABSENT),
    ):
        refused(issuer, token)
    assert publisher.asked == []


# When they cannot be had.


def test_without_any_keys_it_is_said_why(issuer: Issuer, publisher: Publisher, clock: Clock) -> None:
    publisher.end()
    for _ in range(3):
        refused(issuer, signed(lasting()), "keys of the token's issuer are out of reach")


def test_an_issuer_that_was_down_at_the_start_is_asked_again(
    issuer: Issuer, publisher: Publisher, clock: Clock
) -> None:
    publisher.answers(b"later", 503)
    for second in (0, 1, PAUSE_SECONDS - 1):
        clock.passed = second
        refused(issuer, signed(lasting()), "out of reach")
    assert len(publisher.asked) == 1
    publisher.answer = publisher.publish
    clock.passed = PAUSE_SECONDS
    assert issuer.check(signed(lasting()))
    assert len(publisher.asked) == 2


def test_while_the_issuer_is_down_its_last_keys_are_believed(
    issuer: Issuer, publisher: Publisher, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    assert issuer.check(signed(lasting()))
    publisher.end()
    for second in (KEYS_SECONDS, KEYS_SECONDS + PAUSE_SECONDS, 86_400):
        clock.passed = second
        assert issuer.check(signed(lasting()))
        refused(issuer, signed(lasting(), kid="unknown"))
        refused(issuer, signed(lasting(), key=OTHERS["RS256"]))
    assert len(caplog.records) == 3
    assert publisher.url in caplog.text


def test_after_it_was_down_the_issuers_new_keys_are_believed(
    issuer: Issuer, publisher: Publisher, clock: Clock
) -> None:
    assert issuer.check(signed(lasting()))
    publisher.answers(b"", 500)
    clock.passed = KEYS_SECONDS
    assert issuer.check(signed(lasting()))
    publisher.answer = publisher.publish
    publisher.keys = [jwk("EdDSA", "next")]
    clock.passed += PAUSE_SECONDS - 1
    assert issuer.check(signed(lasting()))
    assert len(publisher.asked) == 2
    clock.passed += 1
    assert issuer.check(signed(lasting(), algorithm="EdDSA", kid="next"))
    refused(issuer, signed(lasting()))


FULL = json.dumps({"keys": [jwk("RS256", "rsa")]}).encode()
BAD: dict[str, tuple[bytes, int, dict[str, str]]] = {
    "not JSON": (b"<html>", 200, {}),
    "nothing": (b"", 200, {}),
    "cut off": (FULL[:-1], 200, {}),
    "cut off on the way": (FULL, 200, {"Content_Length": str(len(FULL) + 1)}),
    "of a length that is no number": (FULL, 200, {"Content_Length": "many"}),
    "not UTF-8": (FULL[:-1] + b',"x":"\xff"}', 200, {}),
    "a list": (json.dumps([jwk("RS256", "rsa")]).encode(), 200, {}),
    "keys that are no list": (json.dumps({"keys": {"rsa": jwk("RS256", "rsa")}}).encode(), 200, {}),
    "no keys": (b'{"error": "unavailable"}', 200, {}),
    "keys twice": (FULL[:-1] + b', "keys": []}', 200, {}),
    "nested deeply": (b"[" * 100_000, 200, {}),
    "with a number that JSON does not have": (FULL[:-1] + b', "x": NaN}', 200, {}),
    "null": (b"null", 200, {}),
    "too large": (FULL + b" " * (DOCUMENT_BYTES_MAX + 1 - len(FULL)), 200, {}),
    "far too large": (FULL + b" " * 20 * DOCUMENT_BYTES_MAX, 200, {}),
    "compressed": (b"\x1f\x8b" + FULL, 200, {"Content_Encoding": "gzip"}),
    **{f"{status}": (FULL, status, {}) for status in (201, 203, 206, 400, 401, 404, 410, 429, 500, 503)},
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_answer_is_no_answer(issuer: Issuer, publisher: Publisher, clock: Clock, what: str) -> None:
    content, status, headers = BAD[what]
    publisher.answers(content, status, **headers)
    refused(issuer, signed(lasting()), "out of reach")
    publisher.answer = publisher.publish
    clock.passed = PAUSE_SECONDS
    assert issuer.check(signed(lasting()))
    publisher.answers(content, status, **headers)
    clock.passed += KEYS_SECONDS
    assert issuer.check(signed(lasting()))
    assert len(publisher.asked) == 3


def test_a_key_set_may_be_as_large_as_a_document(issuer: Issuer, publisher: Publisher) -> None:
    publisher.answers(FULL + b" " * (DOCUMENT_BYTES_MAX - len(FULL)))
    assert issuer.check(signed())


def test_a_key_set_may_come_in_pieces_of_no_stated_length(issuer: Issuer, publisher: Publisher) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for place in range(0, len(FULL), 50):
            handler.wfile.write(FULL[place : place + 50])
            handler.wfile.flush()

    publisher.answer = answer
    assert issuer.check(signed())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308], ids=label)
def test_a_redirect_is_not_followed(issuer: Issuer, publisher: Publisher, status: int) -> None:
    """Not even to the same server: what is asked is what the settings name."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.path == "/keys":
            publisher.send(handler, FULL, status, Location="/elsewhere")
        else:
            publisher.publish(handler)

    publisher.answer = answer
    refused(issuer, signed(), "out of reach")
    assert publisher.asked == ["/keys"]


@pytest.mark.parametrize("scheme", ["file", "ftp", "data", "gopher"], ids=label)
def test_a_url_of_another_scheme_is_not_opened(scheme: str, tmp_path: Any) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(FULL)
    url = (
        f"data:application/json;base64,{base64.b64encode(FULL).decode()}" if scheme == "data" else f"{scheme}://{path}"
    )
    refused(Issuer(ISSUER, AUDIENCE, url), signed(), "out of reach")


# A server that hangs at each stage: before it answers, in the middle of the headers, and in the middle of the keys.


@contextmanager
def impatient() -> Iterator[None]:
    """Let an answer take a fraction of a second only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(issuer_module, "ANSWER_SECONDS_MAX", 0.2)
        yield


def dripping(publisher: Publisher, stage: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        if stage == "in the keys":
            handler.send_response(200)
            handler.end_headers()
        if stage == "in the headers":
            handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
        # A little every now and then: no single wait takes long.
        while stage != "before it answers" and not publisher.ended.wait(0.02):
            handler.wfile.write(b" ")
            handler.wfile.flush()
        publisher.ended.wait(PATIENCE_SECONDS)

    return answer


STAGES = ("before it answers", "in the headers", "in the keys")


@pytest.mark.parametrize("stage", STAGES)
def test_a_server_that_hangs_is_given_up(issuer: Issuer, publisher: Publisher, stage: str) -> None:
    publisher.answer = dripping(publisher, stage)
    with impatient():
        refused(issuer, signed(), "out of reach")
    assert not publisher.ended.is_set()  # it did not end by itself
    publisher.end()


def test_nobody_goes_on_reading_an_answer_that_comes_too_slowly(issuer: Issuer, publisher: Publisher) -> None:
    publisher.answer = dripping(publisher, "in the keys")
    with impatient():
        refused(issuer, signed(), "out of reach")
    for thread in threading.enumerate():
        if thread.name == "issuer-keys":
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()
    assert not publisher.ended.is_set()
    publisher.end()


UNDER_GEVENT = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
from cashman.access import issuer
from cashman.errors import InvalidToken

issuer.ANSWER_SECONDS_MAX = 0.2
turns = 0

def serve_others():
    global turns
    while True:
        turns += 1
        gevent.sleep(0.001)

gevent.spawn(serve_others)
try:
    issuer.Issuer(*sys.argv[1:4]).check(sys.argv[4])
except InvalidToken as error:
    print(error.detail, turns > 1)
"""


def test_under_gevent_a_server_that_hangs_holds_up_nobody(publisher: Publisher) -> None:
    publisher.answer = dripping(publisher, "in the headers")  # where no timeout of a socket would help
    ran = subprocess.run(
        [sys.executable, "-c", UNDER_GEVENT, ISSUER, AUDIENCE, publisher.url, signed()],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=2 * PATIENCE_SECONDS,
        check=True,
    )
    assert ran.stdout == "The keys of the token's issuer are out of reach. True\n"
    assert not publisher.ended.is_set()
    publisher.end()


@pytest.mark.parametrize("stage", STAGES)
def test_while_a_server_hangs_its_last_keys_are_believed(
    issuer: Issuer, publisher: Publisher, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    assert issuer.check(signed())
    publisher.answer = dripping(publisher, stage)
    monkeypatch.setattr(issuer_module, "KEYS_SECONDS", 0)
    monkeypatch.setattr(issuer_module, "PAUSE_SECONDS", 0)
    with impatient():
        assert issuer.check(signed())
    assert len(publisher.asked) == 2
    publisher.end()


def test_who_holds_a_known_key_does_not_wait_for_others_to_fetch(
    issuer: Issuer, publisher: Publisher, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    assert issuer.check(signed(lasting()))
    asked, answered = threading.Event(), threading.Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.set()
        answered.wait(PATIENCE_SECONDS)
        publisher.publish(handler)

    publisher.answer = answer
    clock.passed = KEYS_SECONDS
    token = signed(lasting())
    found: list[OutsideClaims] = []
    first = threading.Thread(target=lambda: found.append(issuer.check(token)))
    first.start()
    assert asked.wait(PATIENCE_SECONDS)
    for _ in range(3):
        assert issuer.check(token)
    assert found == []  # the first still waits
    assert caplog.records == []  # and has not given up
    answered.set()
    first.join(PATIENCE_SECONDS)
    assert len(found) == 1
    assert len(publisher.asked) == 2


def test_all_who_come_first_share_one_fetch(issuer: Issuer, publisher: Publisher) -> None:
    asked, answered = threading.Event(), threading.Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.set()
        answered.wait(PATIENCE_SECONDS)
        publisher.publish(handler)

    publisher.answer = answer
    token = signed()
    found: list[OutsideClaims] = []
    started = [threading.Thread(target=lambda: found.append(issuer.check(token))) for _ in range(8)]
    for thread in started:
        thread.start()
    assert asked.wait(PATIENCE_SECONDS)
    answered.set()
    for thread in started:
        thread.join(PATIENCE_SECONDS)
    assert len(found) == 8
    assert publisher.asked == ["/keys"]
