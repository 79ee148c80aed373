"""Tokens over HTTP: each attack is refused, and beside it a token that differs in nothing else is let in."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Flask
from flask.testing import FlaskClient
from people import Holder, Person, another, first_user, sign_in, signed_in
from test_issuer import AUDIENCE, ISSUER, OTHERS, Publisher, claims, publisher, signed
from werkzeug.test import TestResponse

from cashman import access, current
from cashman.index import create_app
from cashman.limits import ACCESS_SECONDS, CLOCK_SKEW_SECONDS, SESSIONS_MAX, TOKEN_CHARACTERS_MAX

__all__ = ["publisher"]

SECRET = "qLw8-secret-that-signs-all-tokens-91"
OTHER_SECRET = "uP2z-secret-of-another-service-4477"
WithSettings = Callable[..., FlaskClient]


@pytest.fixture
def user(with_settings: WithSettings) -> Person:
    """A user whose tokens are signed with a secret that the tests know."""
    return first_user(with_settings(secret_key=SECRET))


def encoded(data: Any) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decoded(segment: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(segment + "=="))


def resigned(
    token: str,
    header: dict[str, Any] | None = None,
    payload: dict[str, Any] | None = None,
    secret: str = SECRET,
    digest: str = "sha256",
) -> str:
    """The same token with some things changed, signed anew; None takes a member away."""
    parts = token.split(".")
    new = []
    for segment, changes in zip(parts, (header, payload), strict=False):
        members = {**decoded(segment), **(changes or {})}
        new.append(encoded({name: value for name, value in members.items() if value is not None}))
    signature = hmac.new(secret.encode(), ".".join(new).encode(), digest).digest()
    return ".".join([*new, encoded(signature)])


def check_refused(answer: TestResponse) -> None:
    """Refused as a token is that is not good."""
    assert answer.status_code == 401, answer.text
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.mimetype == "application/problem+json"
    assert answer.json["type"] == "/problems/invalid-token"


def public_pem() -> str:
    key = rsa.generate_private_key(65_537, 2048).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def now() -> int:
    return int(time.time())


ATTACKS: dict[str, Callable[[str], str]] = {
    "no signature": lambda token: token.rpartition(".")[0] + ".",
    "two parts": lambda token: token.rpartition(".")[0],
    "alg none": lambda token: resigned(token, {"alg": "none"}).rpartition(".")[0] + ".",
    "alg nOnE": lambda token: resigned(token, {"alg": "nOnE"}),
    "alg HS512": lambda token: resigned(token, {"alg": "HS512"}, digest="sha512"),
    "alg RS256 with a public key as the secret": lambda token: resigned(token, {"alg": "RS256"}, secret=public_pem()),
    "another's secret": lambda token: resigned(token, secret=OTHER_SECRET),
    "an empty secret": lambda token: resigned(token, secret=""),
    "the key in the token": lambda token: resigned(
        token, {"jwk": {"kty": "oct", "k": encoded(OTHER_SECRET.encode())}}, secret=OTHER_SECRET
    ),
    "the key at a URL": lambda token: resigned(token, {"jku": "https://evil.example/keys"}, secret=OTHER_SECRET),
    "a kid that is a path": lambda token: resigned(token, {"kid": "../../../../dev/null"}, secret=""),
    "a kid that is SQL": lambda token: resigned(token, {"kid": "x' UNION SELECT 'secret"}, secret="secret"),
    "no kid": lambda token: resigned(token, {"kid": None}),
    "crit": lambda token: resigned(token, {"crit": ["exp"]}),
    "a refresh token's type": lambda token: resigned(token, {"typ": "refresh+jwt"}),
    "no type": lambda token: resigned(token, {"typ": None}),
    "expired": lambda token: resigned(
        token, payload={"iat": now() - ACCESS_SECONDS, "nbf": now() - ACCESS_SECONDS, "exp": now() - 1}
    ),
    "good for a year": lambda token: resigned(token, payload={"exp": now() + 365 * 86_400}),
    "never expires": lambda token: resigned(token, payload={"exp": None}),
    "not yet good": lambda token: resigned(
        token, payload={"nbf": now() + CLOCK_SKEW_SECONDS + 60, "iat": now(), "exp": now() + 300}
    ),
    "another issuer": lambda token: resigned(token, payload={"iss": "https://evil.example"}),
    "another audience": lambda token: resigned(token, payload={"aud": "another"}),
    "another user": lambda token: resigned(token, payload={"sub": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}),
    "another session": lambda token: resigned(token, payload={"sid": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}),
    "one more claim": lambda token: resigned(token, payload={"admin": True}),
    "the last character": lambda token: token[:-1] + ("A" if token[-1] != "A" else "Q"),
    "padding": lambda token: token + "=",
    "too long": lambda token: resigned(token, payload={"more": "x" * TOKEN_CHARACTERS_MAX}),
    "a blank in it": lambda token: token.replace(".", " .", 1),
    "twice": lambda token: f"{token},{token}",
    "the signature of another token": lambda token: ".".join(
        [*resigned(token, payload={"sub": "0" * 26}).split(".")[:2], token.rpartition(".")[2]]
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
def test_a_token_that_was_tampered_with_is_refused_and_the_one_it_was_made_of_is_not(user: Person, attack: str) -> None:
    token = user.token or ""
    tampered = ATTACKS[attack](token)
    assert tampered != token
    for method, path in (("GET", "/expenses"), ("POST", "/expenses"), ("GET", "/users"), ("DELETE", "/tokens")):
        check_refused(Holder(user.client, tampered).ask(method, path))
    assert user.get("/expenses").status_code == 200
    twin = Holder(user.client, resigned(token))
    assert twin.get("/expenses").status_code == 200, "what is signed anew and not changed is good"


def test_a_token_that_was_good_is_not_when_its_time_is_over(user: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is known to be good from a moment before."""
    assert user.get("/expenses").status_code == 200
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + ACCESS_SECONDS - 60)
    assert user.get("/expenses").status_code == 200
    monkeypatch.setattr(time, "time", lambda: real() + ACCESS_SECONDS + 1)
    check_refused(user.get("/expenses"))


def test_a_token_of_other_books_is_none_of_these(user: Person, tmp_path: Any) -> None:
    """Even with the same secret: there is no such user, and no such session."""
    app = create_app({"CASHMAN_DATABASE_URL": f"sqlite:///{tmp_path / 'other.db'}", "CASHMAN_SECRET_KEY": SECRET})
    try:
        elsewhere = first_user(app.test_client())
        assert elsewhere.get("/expenses").status_code == 200
        check_refused(Holder(user.client, elsewhere.token).get("/expenses"))
        check_refused(Holder(elsewhere.client, user.token).get("/expenses"))
    finally:
        current.books(app).database.close()


# One for another.


def test_what_is_no_access_token_is_not_good_for_one(user: Person) -> None:
    key = user.key("admin")
    assert key.get("/expenses").status_code == 200
    wrong = {
        "the refresh token": user.refresh_token,
        "the key without its beginning": (key.token or "").removeprefix("cashman_"),
        "the key in capitals": (key.token or "").upper(),
        "a key that nobody has": "cashman_" + "A" * 43,
        "the beginning of a key": "cashman_",
        "the password": user.password,
        "the secret": SECRET,
        "the user's id": user.id,
        "the setup code": current.access(user.client.application).setup_code(),
    }
    for what, token in wrong.items():
        answer = Holder(user.client, token).get("/expenses")
        assert answer.status_code == 401, what
        check_refused(answer)
    assert user.get("/expenses").status_code == 200


def test_what_is_no_refresh_token_is_not_good_for_one(user: Person) -> None:
    key = user.key("admin")
    for token in (
        user.token,
        key.token,
        "x",
        (user.refresh_token)[:-1],
        resigned(user.refresh_token, {"typ": "at+jwt"}),
    ):
        check_refused(user.client.post("/tokens/refresh", json={"refresh_token": token}))
    twin = user.client.post("/tokens/refresh", json={"refresh_token": user.refresh_token})
    assert twin.status_code == 200
    assert Holder(user.client, twin.json["access_token"]).get("/expenses").status_code == 200


def test_a_token_is_taken_from_the_header_alone(user: Person) -> None:
    for path in (f"/expenses?access_token={user.token}", f"/expenses?token={user.token}"):
        assert user.client.get(path).status_code == 401
    assert user.client.get("/expenses", headers={"Cookie": f"access_token={user.token}"}).status_code == 401
    assert user.client.get("/expenses", headers={"X-Api-Key": user.token or ""}).status_code == 401
    basic = base64.b64encode(f"{user.email}:{user.password}".encode()).decode()
    check_refused(user.client.get("/expenses", headers={"Authorization": f"Basic {basic}"}))
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert user.client.get("/expenses", headers={"Authorization": f"{scheme} {user.token}"}).status_code == 200


# Taken back.


def test_a_token_is_good_no_more_at_once_by_whatever_it_is_taken_back(user: Person) -> None:
    app = user.client.application
    second = create_app({"CASHMAN_DATABASE_URL": url_of(app), "CASHMAN_SECRET_KEY": SECRET})

    def sign_out(one: Person) -> TestResponse:
        return one.delete("/tokens")

    def revoke(one: Person) -> TestResponse:
        return user.patch(f"/users/{one.id}", {"revoked": True})

    def erase(one: Person) -> TestResponse:
        return user.delete(f"/users/{one.id}")

    def change_password(one: Person) -> TestResponse:
        change = {"password": "a new password", "current_password": one.password}
        return one.patch(f"/users/{one.id}", change)

    def reuse_refresh_token(one: Person) -> TestResponse:
        for _ in range(2):
            answer = one.client.post("/tokens/refresh", json={"refresh_token": one.refresh_token})
        return answer

    try:
        for number, (take_back, status) in enumerate(
            ((sign_out, 204), (revoke, 200), (erase, 204), (change_password, 200), (reuse_refresh_token, 401))
        ):
            one = another(user, f"u{number}@example.com")
            elsewhere = Holder(second.test_client(), one.token)
            assert (one.get("/expenses").status_code, elsewhere.get("/expenses").status_code) == (200, 200)
            assert take_back(one).status_code == status
            check_refused(one.get("/expenses"))
            check_refused(elsewhere.get("/expenses"))
            refreshed = one.client.post("/tokens/refresh", json={"refresh_token": one.refresh_token})
            check_refused(refreshed)
            assert user.get("/expenses").status_code == 200
    finally:
        current.books(second).database.close()


def url_of(app: Flask) -> str:
    """The URL of an app's database."""
    database = current.books(app).database
    path = getattr(database, "path", None)
    return f"sqlite:///{path}" if path else database.engine.url.render_as_string(hide_password=False)


def test_signing_out_ends_one_session_and_a_key_goes_on(user: Person) -> None:
    again, key = signed_in(user.client, user.user), user.key("read")
    assert user.delete("/tokens").status_code == 204
    check_refused(user.get("/expenses"))
    assert again.get("/expenses").status_code == 200
    assert key.get("/expenses").status_code == 200
    assert key.delete("/tokens").status_code == 403


def test_of_too_many_sessions_the_oldest_ends_with_its_tokens(user: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    assert SESSIONS_MAX == 100
    monkeypatch.setattr(access.sessions, "SESSIONS_MAX", 3)
    one = another(user)
    second, third = (signed_in(user.client, one.user) for _ in range(2))
    assert [holder.get("/ledger").status_code for holder in (one, second, third)] == [200] * 3
    fourth = signed_in(user.client, one.user)
    assert [holder.get("/ledger").status_code for holder in (one, second, third, fourth)] == [401, 200, 200, 200]


def test_a_key_that_was_taken_out_of_the_settings_is_not_believed(with_settings: WithSettings) -> None:
    user = first_user(with_settings(secret_key=SECRET))
    client = with_settings(secret_key=f"{OTHER_SECRET} {SECRET}")
    assert Holder(client, user.token).get("/expenses").status_code == 200
    newer = signed_in(client, user.user)
    client = with_settings(secret_key=OTHER_SECRET)
    check_refused(Holder(client, user.token).get("/expenses"))
    assert Holder(client, newer.token).get("/expenses").status_code == 200


def test_keys_rotate_without_signing_anybody_out(client: FlaskClient) -> None:
    user = first_user(client)
    current.access(client.application).rotate_keys()
    newer = signed_in(client, user.user)
    kids = [jwt.get_unverified_header(one.token or "")["kid"] for one in (user, newer)]
    assert kids[0] != kids[1]
    for one in (user, newer):
        assert one.get("/expenses").status_code == 200
        refreshed = client.post("/tokens/refresh", json={"refresh_token": one.refresh_token})
        assert refreshed.status_code == 200
        assert jwt.get_unverified_header(refreshed.json["access_token"])["kid"] == kids[1]


# Of an outside issuer.


@pytest.fixture
def outside(publisher: Publisher, with_settings: WithSettings) -> Person:
    """The first user of a service that believes an outside issuer."""
    return first_user(with_settings(issuer=ISSUER, audience=AUDIENCE, jwks_url=publisher.url, secret_key=SECRET))


def test_a_token_of_the_issuer_lets_its_subject_in(outside: Person) -> None:
    made = outside.post("/users", {"email": "other@example.com", "subject": "f81d4fae"})
    assert made.status_code == 201
    other = Holder(outside.client, signed())
    shown = other.get("/users/me")
    assert (shown.status_code, shown.json["id"]) == (200, made.json["id"])
    assert other.post("/expenses", {"description": "pizza", "amount": 1}).status_code == 204
    assert outside.get("/expenses").json == [], "each has a ledger of their own"
    entry = json.loads(other.get("/journal").json[-1]["entry"])
    assert entry["actor"] == f"user:{made.json['id']}"
    assert other.get("/users").status_code == 403
    assert other.delete("/tokens").status_code == 403


def test_a_token_of_the_issuer_lets_in_whose_e_mail_it_has_verified(outside: Person) -> None:
    made = outside.post("/users", {"email": "Other@Example.com"})
    assert made.status_code == 201, made.text
    for unverified in ({}, {"email_verified": False}, {"email_verified": "true"}, {"email_verified": 1}):
        token = signed(claims(email="other@example.com", **unverified))
        check_refused(Holder(outside.client, token).get("/users/me"))
    token = signed(claims(email="other@example.com", email_verified=True))
    shown = Holder(outside.client, token).get("/users/me")
    assert (shown.status_code, shown.json["id"]) == (200, made.json["id"])


def test_an_e_mail_does_not_stand_for_a_user_of_whom_another_subject_is_noted(outside: Person) -> None:
    made = outside.post("/users", {"email": "other@example.com", "subject": "another-subject"})
    assert made.status_code == 201
    check_refused(Holder(outside.client, signed(claims(email="other@example.com", email_verified=True))).get("/ledger"))
    assert Holder(outside.client, signed(claims(sub="another-subject"))).get("/ledger").status_code == 200


def test_whom_the_issuer_knows_and_cashman_does_not_is_kept_out(outside: Person) -> None:
    check_refused(Holder(outside.client, signed()).get("/ledger"))
    token = signed(claims(email="nobody@example.com", email_verified=True))
    check_refused(Holder(outside.client, token).get("/ledger"))


def test_a_user_who_is_revoked_or_gone_is_kept_out_whatever_the_issuer_says(outside: Person) -> None:
    made = outside.post("/users", {"email": "other@example.com", "subject": "f81d4fae"}).json
    other = Holder(outside.client, signed())
    assert other.get("/ledger").status_code == 200
    assert outside.patch(f"/users/{made['id']}", {"revoked": True}).status_code == 200
    check_refused(other.get("/ledger"))
    assert outside.patch(f"/users/{made['id']}", {"revoked": False}).status_code == 200
    assert other.get("/ledger").status_code == 200
    assert outside.delete(f"/users/{made['id']}").status_code == 204
    check_refused(other.get("/ledger"))


OUTSIDE_ATTACKS: dict[str, Callable[[], str]] = {
    "another's key": lambda: signed(key=OTHERS["RS256"]),
    "an unknown kid": lambda: signed(kid="another"),
    "no signature": lambda: signed(sign=lambda _: b""),
    "alg none": lambda: signed(header={"alg": "none"}, sign=lambda _: b""),
    "the public key as a secret": lambda: signed(
        header={"alg": "HS256"},
        sign=lambda text: hmac.new(public_pem().encode(), text, hashlib.sha256).digest(),
    ),
    "our secret": lambda: signed(
        header={"alg": "HS256"}, sign=lambda text: hmac.new(SECRET.encode(), text, hashlib.sha256).digest()
    ),
    "another audience": lambda: signed(claims(aud="another")),
    "another issuer": lambda: signed(claims(iss="https://evil.example")),
    "our own name as the issuer": lambda: signed(claims(iss="cashman", aud="cashman")),
    "expired": lambda: signed(claims(exp=now() - CLOCK_SKEW_SECONDS - 1)),
    "not yet good": lambda: signed(claims(nbf=now() + CLOCK_SKEW_SECONDS + 60)),
    "no subject": lambda: signed(claims(sub="")),
    "an ID token": lambda: signed(claims(typ="ID")),
}


@pytest.mark.parametrize("attack", OUTSIDE_ATTACKS)
@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
def test_what_is_no_good_token_of_the_issuer_is_refused(outside: Person, attack: str) -> None:
    assert outside.post("/users", {"email": "other@example.com", "subject": "f81d4fae"}).status_code == 201
    check_refused(Holder(outside.client, OUTSIDE_ATTACKS[attack]()).get("/ledger"))
    assert Holder(outside.client, signed()).get("/ledger").status_code == 200


def test_without_the_settings_no_issuer_is_believed(with_settings: WithSettings) -> None:
    user = first_user(with_settings(secret_key=SECRET))
    made = user.post("/users", {"email": "other@example.com", "subject": "f81d4fae"})
    assert made.status_code == 201
    check_refused(Holder(user.client, signed()).get("/ledger"))


def test_where_the_issuer_is_out_of_reach_own_tokens_are_still_good(outside: Person, publisher: Publisher) -> None:
    publisher.end()
    check_refused(Holder(outside.client, signed()).get("/ledger"))
    assert outside.get("/ledger").status_code == 200
    assert sign_in(outside.client, outside.email).status_code == 200
