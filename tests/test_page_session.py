"""The session of a browser: when its cookie counts, how it goes on, and the ways to misuse it."""

import datetime as dt
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from people import PASSWORD, Page, Person, another, first_user, page_of
from werkzeug.test import TestResponse

from cashman import cookies, current
from cashman.access import tokens as access_tokens
from cashman.db import utc_now
from cashman.index import create_app
from cashman.limits import ACCESS_SECONDS, PAGE_GRACE_SECONDS, REFRESH_SECONDS, TOKEN_CHARACTERS_MAX

PIZZA = {"description": "pizza", "amount": 50}
FOREIGN = "https://evil.example"


@pytest.fixture
def user(client: FlaskClient) -> Person:
    """The first user, who is an administrator."""
    return first_user(client)


@pytest.fixture
def page(user: Person) -> Page:
    """A page on which that user is signed in."""
    return page_of(user.client, user.email)


def write(page: Page, **headers: str) -> TestResponse:
    return page.post("/expenses", PIZZA, headers={name.replace("_", "-"): value for name, value in headers.items()})


def count(user: Person) -> int:
    return len(user.get("/expenses").json)


def refused(answer: TestResponse, slug: str = "unauthenticated") -> bool:
    return answer.status_code == 401 and answer.json["type"] == f"/problems/{slug}"


# What a cookie is, and what it lets do.


def test_signing_in_gives_one_cookie_that_no_script_reads_and_no_other_site_sends(user: Person) -> None:
    page = Page(user.client.application.test_client(use_cookies=False))
    answer = page.sign_in(user.email)
    assert (answer.status_code, answer.data) == (204, b"")
    (line,) = answer.headers.getlist("Set-Cookie")
    value, *attributes = line.split("; ")
    assert value.startswith("cashman-session=ey")
    assert {*attributes} == {"HttpOnly", "Path=/", "SameSite=Strict", f"Max-Age={REFRESH_SECONDS}", _expires(line)}
    assert answer.headers["Cache-Control"] == "no-store"


def _expires(line: str) -> str:
    return next(part for part in line.split("; ") if part.startswith("Expires="))


def test_by_https_it_is_secure_and_of_this_host_alone(user: Person) -> None:
    page = Page(user.client.application.test_client(use_cookies=False))
    secure = {"base_url": "https://books.example"}
    answer = page.post("/pages/session", {"email": user.email, "password": PASSWORD}, **secure)
    (line,) = answer.headers.getlist("Set-Cookie")
    assert line.startswith("__Host-cashman-session=")
    assert {"Secure", "Path=/", "HttpOnly", "SameSite=Strict"} <= {*line.split("; ")}
    assert "Domain" not in line
    page.keep(answer)
    assert page.get("/users/me", **secure).status_code == 200
    plain = page.cookie.removeprefix("__Host-")  # what another host of the domain could have set
    assert refused(page.get("/users/me", headers={"Cookie": plain}, **secure))
    assert refused(page.get("/users/me", headers={"Cookie": page.cookie}))


def test_two_services_on_one_host_do_not_take_each_others_cookie_away(user: Person) -> None:
    page = Page(user.client.application.test_client(use_cookies=False))
    at = {"base_url": "http://localhost:5001"}
    page.keep(page.post("/pages/session", {"email": user.email, "password": PASSWORD}, **at))
    assert page.cookie.startswith("cashman-session-5001=")
    other = f"cashman-session-5000=x; {page.cookie}"
    assert page.get("/users/me", headers={"Cookie": other}, **at).status_code == 200


def test_a_page_reads_and_writes_as_its_user(page: Page, user: Person) -> None:
    assert page.get("/users/me").json["email"] == user.email
    assert write(page).status_code == 204
    assert count(user) == 1
    entry = user.get("/journal").text.splitlines()[-1]
    assert f"user:{user.id}" in entry


def test_what_a_page_is_answered_is_one_persons_and_stays_so(page: Page, user: Person) -> None:
    for path in ("/expenses", "/users/me", "/balances"):
        answer = page.get(path)
        varies = {name.strip() for line in answer.headers.getlist("Vary") for name in line.split(",")}
        assert {"Cookie", "Authorization"} <= varies
        assert answer.headers["Cache-Control"] == "private, no-cache"
    assert page.post("/api-keys", {"name": "k", "scope": "read"}).headers["Cache-Control"] == "no-store"
    assert "Cache-Control" not in user.get("/expenses").headers
    assert "Cookie" in user.get("/expenses").headers["Vary"]


def test_a_token_in_the_header_goes_before_the_cookie(page: Page, user: Person) -> None:
    other = another(user, "other@example.com")
    with_both = {"Authorization": f"Bearer {other.token}"}
    assert page.get("/users/me", headers=with_both).json["email"] == other.email
    assert refused(page.get("/users/me", headers={"Authorization": "Bearer wrong"}), "invalid-token")
    assert refused(page.get("/users/me", headers={"Authorization": "Basic YTpi"}), "invalid-token")


def test_a_cookie_is_no_bearer_token_and_no_token_is_a_cookie(page: Page, user: Person) -> None:
    inside = page.cookie.partition("=")[2]
    assert refused(user.client.get("/expenses", headers={"Authorization": f"Bearer {inside}"}), "invalid-token")
    assert user.client.post("/tokens/refresh", json={"refresh_token": inside}).status_code == 401
    for token in (user.token, user.refresh_token, user.key("admin").token):
        answer = page.get("/users/me", headers={"Cookie": f"cashman-session={token}"})
        assert refused(answer, "invalid-token")
    assert page.get("/users/me").status_code == 200
    assert user.get("/users/me").status_code == 200


def test_no_page_is_told_the_token(page: Page, user: Person) -> None:
    inside = page.cookie.partition("=")[2]
    for answer in (
        page.sign_in(user.email),
        page.get("/users/me"),
        page.get("/expenses"),
        page.delete("/pages/session"),
    ):
        assert inside not in answer.text
        assert "token" not in answer.text


# Whose request it is: cross-site request forgery. Each attack has a twin that differs in nothing else.


def test_a_request_of_our_own_page_counts(page: Page, user: Person) -> None:
    """The twin of all that follows."""
    assert write(page).status_code == 204
    assert write(page, Origin="http://localhost").status_code == 204
    assert write(page, Sec_Fetch_Site="", Origin="http://localhost").status_code == 204
    assert write(page, Sec_Fetch_Site="", Origin="HTTP://LocalHost").status_code == 204
    assert count(user) == 4


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Sec-Fetch-Site": "cross-site", "Origin": FOREIGN}, id="a foreign origin"),
        pytest.param({"Sec-Fetch-Site": "same-site", "Origin": "http://evil.localhost"}, id="a sibling subdomain"),
        pytest.param({"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:8080"}, id="another port"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, id="a foreign page without an origin"),
        pytest.param({"Sec-Fetch-Site": "none"}, id="the address bar"),
        pytest.param({"Sec-Fetch-Site": "same-origin, cross-site"}, id="the header twice"),
        pytest.param({"Sec-Fetch-Site": "SAME-ORIGIN"}, id="as no browser writes it"),
        pytest.param({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, id="a foreign form"),
        pytest.param({"Sec-Fetch-Site": ""}, id="neither of the two headers"),
        pytest.param({"Sec-Fetch-Site": "", "Origin": "null"}, id="a sandboxed frame"),
        pytest.param({"Sec-Fetch-Site": "", "Origin": FOREIGN}, id="an older browser elsewhere"),
        pytest.param({"Sec-Fetch-Site": "", "Origin": "https://localhost"}, id="another scheme"),
        pytest.param({"Sec-Fetch-Site": "", "Origin": "http://localhost:5000"}, id="another port, older"),
        pytest.param({"Sec-Fetch-Site": "", "Origin": "http://localhost.evil.example"}, id="a longer name"),
        pytest.param({"Sec-Fetch-Site": "", "Origin": "http://localhost@evil.example"}, id="a user's name"),
        pytest.param({"Sec-Fetch-Site": "", "Referer": "http://localhost/"}, id="a referrer alone"),
        pytest.param({"Cashman-Page": ""}, id="without our header"),
        pytest.param({"Cashman-Page": "", "X-Requested-With": "XMLHttpRequest"}, id="another header"),
    ],
)
def test_a_request_that_is_not_provably_of_our_own_page_is_nobodys(
    page: Page, user: Person, headers: dict[str, str]
) -> None:
    for method, path, body in (
        ("POST", "/expenses", PIZZA),
        ("PATCH", f"/users/{user.id}", {"name": "Mallory"}),
        ("DELETE", f"/users/{user.id}/sessions", None),
    ):
        assert refused(page.ask(method, path, headers=headers, json=body)), (method, path)
    for method in ("POST", "DELETE"):
        body = {"email": user.email, "password": PASSWORD}
        answer = page.ask(method, "/pages/session", headers=headers, json=body)
        assert (answer.status_code, "Set-Cookie" in answer.headers) == (403, False)
    assert count(user) == 0
    assert page.get("/users/me").json["name"] is None


@pytest.mark.parametrize(
    "media_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/plain"]
)
def test_a_form_of_another_page_does_nothing(page: Page, user: Person, media_type: str) -> None:
    forged = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Cashman-Page": "", "Origin": FOREIGN}
    body = b'{"description": "pizza", "amount": 50, "x": "="}'
    answer = page.ask("POST", "/expenses", headers={**forged, "Content-Type": media_type}, data=body)
    assert answer.status_code in (401, 415)
    assert count(user) == 0


@pytest.mark.parametrize("override", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_no_header_makes_a_request_another_method(page: Page, user: Person, override: str) -> None:
    write(page)
    place = page.get("/expenses").json[0]["id"]
    for method in ("GET", "POST"):
        page.ask(method, f"/expenses/{place}?_method=DELETE", headers={override: "DELETE", "Cashman-Page": ""})
        page.ask(method, f"/expenses/{place}", headers={override: "DELETE", "Cashman-Page": ""})
    assert count(user) == 1
    assert page.delete(f"/expenses/{place}").status_code == 204


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Origin": "http://evil.localhost"},
        {"Sec-Fetch-Site": "", "Origin": FOREIGN},
        {"Sec-Fetch-Site": "", "Origin": "null"},
    ],
)
def test_another_page_reads_nothing_with_the_cookie(page: Page, headers: dict[str, str]) -> None:
    assert refused(page.get("/expenses", headers=headers))


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Site": "same-origin", "Cashman-Page": ""},
        {"Sec-Fetch-Site": "", "Cashman-Page": ""},
    ],
)
def test_what_is_typed_or_followed_to_is_shown(page: Page, headers: dict[str, str]) -> None:
    assert page.get("/expenses", headers=headers).status_code == 200


def test_an_origin_that_may_use_the_api_may_not_use_the_cookie(database_url: str) -> None:
    app = create_app({"CASHMAN_DATABASE_URL": database_url, "CASHMAN_CORS_ORIGINS": FOREIGN})
    try:
        user = first_user(app.test_client())
        page = page_of(user.client, user.email)
        by_script = {"Sec-Fetch-Site": "cross-site", "Origin": FOREIGN}
        for answer in (page.get("/expenses", headers=by_script), page.post("/expenses", PIZZA, headers=by_script)):
            assert refused(answer)
            assert answer.headers["Access-Control-Allow-Origin"] == FOREIGN
            assert "Access-Control-Allow-Credentials" not in answer.headers
        asked = {"Origin": FOREIGN, "Access-Control-Request-Method": "POST"}
        preflight = user.client.options("/expenses", headers=asked)
        assert preflight.status_code == 204
        assert "cashman-page" not in preflight.headers["Access-Control-Allow-Headers"].lower()
        assert "Access-Control-Allow-Credentials" not in preflight.headers
        assert user.get("/expenses", headers=by_script).status_code == 200
    finally:
        current.books(app).database.close()


# Tossed, doubled, broken and oversized cookies; fixation.


def test_of_two_cookies_of_the_name_none_counts(page: Page, user: Person) -> None:
    mallory = page_of(user.client, another(user, "mallory@example.com").email)
    for both in (
        f"{page.cookie}; {mallory.cookie}",
        f"{mallory.cookie}; {page.cookie}",
        f"{page.cookie}; {page.cookie}",
    ):
        assert refused(page.get("/users/me", headers={"Cookie": both}))
    beside = f"theme=dark; {page.cookie}; cashman-session2=x; Cashman-Session=x"
    assert page.get("/users/me", headers={"Cookie": beside}).json["email"] == user.email


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        "null",
        "a.b.c",
        "é",
        "%00",
        "eyJhbGciOiJub25lIn0.e30.",
        "A" * (TOKEN_CHARACTERS_MAX + 1),
        "A" * 1_000_000,
        '"',
        "\x7f",
    ],
)
def test_a_broken_or_oversized_cookie_is_refused_and_nothing_worse(page: Page, value: str) -> None:
    answer = page.get("/users/me", headers={"Cookie": f"cashman-session={value}"})
    assert answer.status_code == 401
    assert page.get("/users/me").status_code == 200


def test_many_cookies_are_only_cookies(page: Page) -> None:
    crowd = "; ".join(f"c{number}={number}" for number in range(2_000))
    assert page.get("/users/me", headers={"Cookie": f"{crowd}; {page.cookie}"}).status_code == 200


def test_each_changed_character_of_a_cookie_spoils_it(page: Page) -> None:
    name, _, value = page.cookie.partition("=")
    for place in range(0, len(value), 7):
        changed = value[:place] + ("A" if value[place] != "A" else "B") + value[place + 1 :]
        if value[place] != ".":
            answer = page.get("/users/me", headers={"Cookie": f"{name}={changed}"})
            assert answer.status_code == 401, place


def test_signing_in_begins_another_session_and_ends_the_one_before(page: Page, user: Person) -> None:
    """Whoever has planted the cookie of a session in a browser has nothing of what is done after the sign-in there."""
    planted = page.cookie
    assert page.sign_in(user.email).status_code == 204
    assert page.cookie != planted
    assert refused(page.get("/users/me", headers={"Cookie": planted}), "invalid-token")
    assert page.get("/users/me").status_code == 200


def test_who_fails_to_sign_in_keeps_the_session_that_was_there(page: Page, user: Person) -> None:
    before = page.cookie
    assert page.sign_in(user.email, "not the password").status_code == 401
    assert page.cookie == before
    assert page.get("/users/me").status_code == 200


def test_tries_to_sign_in_on_a_page_are_counted_with_all_others(user: Person) -> None:
    page = Page(user.client.application.test_client(use_cookies=False))
    answers = [page.sign_in(user.email, f"wrong {number}").status_code for number in range(5)]
    answers += [user.client.post("/tokens", json={"email": user.email, "password": "x"}).status_code for _ in range(5)]
    assert answers == [401] * 10
    answer = page.sign_in(user.email)
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (429, False)
    assert int(answer.headers["Retry-After"]) > 0


def test_requests_with_a_cookie_are_counted(with_settings: Callable[..., FlaskClient]) -> None:
    client = with_settings(rate_limit="20")
    page = page_of(client, first_user(client).email)
    answers = [page.get("/users/me").status_code for _ in range(25)]
    assert (answers.count(200), answers.count(429)) == (20, 5)


# How a session goes on, and ends.


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How many seconds the clock of tokens and sessions is ahead."""
    ahead = [0.0]
    real = time.time

    def shifted() -> float:
        return real() + ahead[0]

    monkeypatch.setattr(access_tokens.time, "time", shifted)
    monkeypatch.setattr("cashman.access.sessions.utc_now", lambda: utc_now() + dt.timedelta(seconds=ahead[0]))
    return ahead


def cookie_of(answer: TestResponse) -> str | None:
    return next((line.partition(";")[0] for line in answer.headers.getlist("Set-Cookie")), None)


def test_within_15_minutes_the_cookie_stays_as_it_is(page: Page, clock: list[float]) -> None:
    clock[0] = ACCESS_SECONDS - 5
    answer = page.get("/users/me")
    assert (answer.status_code, cookie_of(answer)) == (200, None)


def test_after_that_a_request_brings_the_next_one(page: Page, clock: list[float]) -> None:
    for _ in range(3):
        clock[0] += ACCESS_SECONDS + 5
        answer = page.get("/users/me")
        following = cookie_of(answer)
        assert answer.status_code == 200
        assert following not in (None, page.cookie)
        page.keep(answer)
        assert cookie_of(page.get("/users/me")) is None


def test_a_write_brings_it_too_and_happens_once(page: Page, user: Person, clock: list[float]) -> None:
    clock[0] = ACCESS_SECONDS + 5
    answer = write(page)
    assert (answer.status_code, cookie_of(answer) is None) == (204, False)
    clock[0] = 0
    assert count(user) == 1


def test_many_requests_at_once_do_not_end_the_session(page: Page, clock: list[float]) -> None:
    """Tabs and scripts of one browser all send the cookie that it has."""
    clock[0] = ACCESS_SECONDS + 5
    answers: list[TestResponse] = []
    before, barrier = page.cookie, threading.Barrier(8)

    def ask() -> None:
        barrier.wait(30)
        answers.append(page.get("/users/me", headers={"Cookie": before}))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [answer.status_code for answer in answers] == [200] * 8
    for answer in answers:  # whichever the browser keeps
        assert page.get("/users/me", headers={"Cookie": cookie_of(answer) or ""}).status_code == 200


def test_a_cookie_that_was_lost_on_its_way_is_given_again_for_a_moment(page: Page, clock: list[float]) -> None:
    clock[0] = ACCESS_SECONDS + 5
    assert page.get("/users/me").status_code == 200  # and the answer is lost
    clock[0] += PAGE_GRACE_SECONDS - 5
    answer = page.get("/users/me")
    assert answer.status_code == 200
    page.keep(answer)
    clock[0] += PAGE_GRACE_SECONDS + 60
    assert page.get("/users/me").status_code == 200


def test_a_stolen_cookie_that_is_used_after_its_turn_ends_the_session(page: Page, clock: list[float]) -> None:
    stolen = page.cookie
    clock[0] = ACCESS_SECONDS + 5
    page.keep(page.get("/users/me"))
    clock[0] += PAGE_GRACE_SECONDS + 5
    assert page.get("/users/me").status_code == 200
    assert refused(page.get("/users/me", headers={"Cookie": stolen}), "invalid-token")
    assert refused(page.get("/users/me"), "invalid-token")


def test_a_thief_who_is_quicker_is_out_as_soon_as_the_user_comes_back(page: Page, clock: list[float]) -> None:
    thief = Page(page.client, cookie=page.cookie)
    clock[0] = ACCESS_SECONDS + 5
    thief.keep(thief.get("/users/me"))
    clock[0] += PAGE_GRACE_SECONDS + 5
    assert thief.get("/users/me").status_code == 200
    assert refused(page.get("/users/me"), "invalid-token")
    assert refused(thief.get("/users/me"), "invalid-token")


def test_a_cookie_of_two_turns_ago_ends_the_session_at_once(page: Page, clock: list[float]) -> None:
    old = page.cookie
    for _ in range(2):
        clock[0] += ACCESS_SECONDS + 5
        page.keep(page.get("/users/me"))
    assert refused(page.get("/users/me", headers={"Cookie": old}), "invalid-token")
    assert refused(page.get("/users/me"), "invalid-token")


def test_the_grace_is_for_cookies_and_not_for_refresh_tokens(user: Person) -> None:
    sent = {"refresh_token": user.refresh_token}
    assert user.client.post("/tokens/refresh", json=sent).status_code == 200
    assert user.client.post("/tokens/refresh", json=sent).status_code == 401
    assert refused(user.get("/users/me"), "invalid-token")


def test_a_session_that_nobody_uses_ends(page: Page, clock: list[float]) -> None:
    clock[0] = REFRESH_SECONDS - 3_600
    page.keep(page.get("/users/me"))
    assert page.get("/users/me").status_code == 200
    clock[0] += REFRESH_SECONDS + 1
    assert refused(page.get("/users/me"), "invalid-token")


def test_a_request_whose_body_is_slow_is_not_a_second_use(
    page: Page, user: Person, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The door asks again whose it is, when the grace is over."""
    monkeypatch.setattr("cashman.wire.BODY_SECONDS", -1)
    clock[0] = ACCESS_SECONDS + 5
    asked = []
    directory = current.access(user.client.application).directory
    find = directory.user_of_session

    def find_later(user_id: str, session_id: str) -> Any:
        asked.append(session_id)
        clock[0] += PAGE_GRACE_SECONDS + 60
        return find(user_id, session_id)

    monkeypatch.setattr(directory, "user_of_session", find_later)
    answer = write(page)
    assert answer.status_code == 204
    assert len(asked) == 2
    page.keep(answer)
    monkeypatch.undo()


def test_signing_out_ends_it_on_the_server(page: Page) -> None:
    answer = page.delete("/pages/session")
    assert answer.status_code == 204
    (line,) = answer.headers.getlist("Set-Cookie")
    assert line.startswith("cashman-session=;")
    assert "Max-Age=0" in line
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {*line.split("; ")}
    assert refused(page.get("/users/me"), "invalid-token")
    assert page.delete("/pages/session").status_code == 204


def test_signing_out_takes_the_cookie_of_a_turn_before_too(page: Page, clock: list[float]) -> None:
    before = page.cookie
    clock[0] = ACCESS_SECONDS + 5
    page.keep(page.get("/users/me"))
    clock[0] += PAGE_GRACE_SECONDS + 5
    assert page.delete("/pages/session", headers={"Cookie": before}).status_code == 204
    assert refused(page.get("/users/me"), "invalid-token")


def test_signing_out_by_the_tokens_route_ends_it_as_well(page: Page) -> None:
    assert page.delete("/tokens").status_code == 204
    assert refused(page.get("/users/me"), "invalid-token")


def test_signing_out_everywhere_ends_every_session_and_no_key(page: Page, user: Person) -> None:
    elsewhere, key = page_of(user.client, user.email), user.key("read")
    other = page_of(user.client, another(user, "other@example.com").email)
    assert page.delete(f"/users/{user.id}/sessions").status_code == 204
    for gone in (page, elsewhere, user):
        assert refused(gone.get("/users/me"), "invalid-token")
    assert key.get("/expenses").status_code == 200
    assert other.get("/users/me").status_code == 200
    assert other.delete(f"/users/{user.id}/sessions").status_code == 404


def test_another_password_ends_it(page: Page, user: Person) -> None:
    new = {"password": "staple of the day", "current_password": PASSWORD}
    assert page.patch(f"/users/{user.id}", new).status_code == 200
    assert refused(page.get("/users/me"), "invalid-token")
    assert page.sign_in(user.email, "staple of the day").status_code == 204
    assert page.get("/users/me").status_code == 200


def test_a_user_who_is_revoked_is_out_at_once(user: Person) -> None:
    other = another(user, "other@example.com")
    page = page_of(user.client, other.email)
    assert page.get("/users/me").status_code == 200
    assert user.patch(f"/users/{other.id}", {"revoked": True}).status_code == 200
    assert refused(page.get("/users/me"), "invalid-token")
    assert page.sign_in(other.email).status_code == 401


def test_a_key_of_the_settings_that_changes_ends_it(
    user: Person, page: Page, with_settings: Callable[..., FlaskClient]
) -> None:
    with_settings(secret_key="another-key-that-signs-nothing-of-before-88")
    assert refused(page.get("/users/me"), "invalid-token")


# The open door.


def test_our_pages_get_in_by_the_open_door_and_others_do_not(client: FlaskClient) -> None:
    page = Page(client)
    assert write(page, Origin="http://localhost").status_code == 204
    assert page.get("/expenses").status_code == 200
    for headers in (
        {"Origin": FOREIGN, "Sec_Fetch_Site": "cross-site"},
        {"Origin": "http://localhost:8080", "Sec_Fetch_Site": "same-site"},
        {"Origin": "null", "Sec_Fetch_Site": "cross-site"},
        {"Host": "evil.example", "Origin": "http://evil.example"},  # a name that was made to lead here
    ):
        assert refused(write(page, **headers)), headers
    assert len(page.get("/expenses").json) == 1


def test_until_there_is_a_user_no_cookie_is_looked_at(client: FlaskClient) -> None:
    page = Page(client, cookie="cashman-session=left.by.another")
    assert page.get("/expenses").status_code == 200


def test_behind_a_door_that_is_open_to_all_a_page_is_still_its_users(with_settings: Callable[..., FlaskClient]) -> None:
    client = with_settings(auth="open")
    user = first_user(client)
    page = page_of(client, user.email)
    assert page.get("/users/me").json["email"] == user.email
    assert client.get("/users/me").status_code == 403
    page.delete("/pages/session")
    assert refused(page.get("/users/me"), "invalid-token")


# Where a browser is sent.

LOOKS = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "Cashman-Page": ""}


def test_who_is_nobody_is_sent_to_sign_in_and_a_machine_is_told(user: Person) -> None:
    nobody = Page(user.client)
    answer = nobody.get("/expenses?limit=5&q=%26", headers=LOOKS)
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/pages/sign-in?next=%2Fexpenses%3Flimit%3D5%26q%3D%2526"
    assert answer.headers["Cache-Control"] == "no-store"
    assert refused(nobody.get("/expenses"))
    assert refused(nobody.post("/expenses", PIZZA, headers=LOOKS))


def test_before_there_is_a_user_the_way_in_is_the_set_up(with_settings: Callable[..., FlaskClient]) -> None:
    client = with_settings(auth="required")
    answer = client.get("/expenses", headers=LOOKS)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/pages/set-up?next=%2Fexpenses")


def test_a_cookie_that_is_good_for_nothing_is_taken_back_on_the_way(page: Page) -> None:
    page.delete("/pages/session")
    answer = page.get("/expenses", headers=LOOKS)
    assert (answer.status_code, cookie_of(answer)) == (303, "cashman-session=")


@pytest.mark.parametrize(
    ("path", "own"),
    [
        ("/", True),
        ("/pages/people?a=b&c=%2F%2F", True),
        ("/ledgers/01ARZ3NDEKTSV4RRFFQ69G5FAV/pages/overview", True),
        ("//evil.example", False),
        ("/\\evil.example", False),
        ("\\/evil.example", False),
        ("/\t/evil.example", False),
        ("/\n/evil.example", False),
        ("https://evil.example", False),
        ("javascript:alert(1)", False),
        (" /", False),
        ("", False),
        ("/é", False),
        ("/a\\b", False),
        ("/" + "a" * 2_000, False),
    ],
)
def test_no_page_leads_anywhere_else(path: str, own: bool) -> None:
    assert cookies.is_own_path(path) == own
