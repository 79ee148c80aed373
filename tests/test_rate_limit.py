"""How often a caller may come: counted for each, and told with every answer."""

import re
import time
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from people import Holder, Person, another, first_user, nobody
from werkzeug.test import TestResponse

from cashman import door
from cashman.limits import RATE_SECONDS

WithSettings = Callable[..., FlaskClient]


class Clock:
    """The time, which a test moves."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that requests are counted by."""
    clock = Clock(float(int(time.monotonic())))  # whole seconds: sums of others may be a hair off
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def rate(answer: TestResponse) -> tuple[int, int, int, int]:
    """The limit, its seconds, what is left, and for how many seconds."""
    policy = re.fullmatch(r'"caller";q=(\d+);w=(\d+)', answer.headers["RateLimit-Policy"])
    left = re.fullmatch(r'"caller";r=(\d+);t=(\d+)', answer.headers["RateLimit"])
    assert policy is not None
    assert left is not None
    return int(policy[1]), int(policy[2]), int(left[1]), int(left[2])


def test_every_answer_tells_what_is_left(with_settings: WithSettings, clock: Clock) -> None:
    first = first_user(with_settings(rate_limit="5"))
    for left in (4, 3, 2):
        assert rate(first.get("/expenses")) == (5, RATE_SECONDS, left, RATE_SECONDS)
    clock.now += 20.5
    assert rate(first.get("/users/me")) == (5, RATE_SECONDS, 1, RATE_SECONDS - 20)
    refused = first.post("/expenses", {"amount": 1})
    assert refused.status_code == 422
    assert rate(refused) == (5, RATE_SECONDS, 0, RATE_SECONDS - 20)


def test_whoever_comes_too_often_is_told_when_to_come_again_and_nothing_is_done(
    with_settings: WithSettings, clock: Clock
) -> None:
    first = first_user(with_settings(rate_limit="3"))
    assert first.post("/expenses", {"description": "one", "amount": 1}).status_code == 204
    assert [first.get("/expenses").status_code for _ in range(2)] == [200, 200]
    clock.now += 10
    for _ in range(3):
        answer = first.post("/expenses", {"description": "too many", "amount": 1})
        assert (answer.status_code, answer.json["type"]) == (429, "/problems/too-many-requests")
        assert answer.mimetype == "application/problem+json"
        assert answer.headers["Retry-After"] == str(RATE_SECONDS - 10)
        assert rate(answer) == (3, RATE_SECONDS, 0, RATE_SECONDS - 10)
    clock.now += RATE_SECONDS - 10
    answer = first.get("/expenses")
    assert [row["description"] for row in answer.json] == ["one"]
    assert rate(answer) == (3, RATE_SECONDS, 2, RATE_SECONDS)


def test_a_moment_before_the_time_is_over_it_is_not(with_settings: WithSettings, clock: Clock) -> None:
    first = first_user(with_settings(rate_limit="1"))
    assert first.get("/expenses").status_code == 200
    clock.now += RATE_SECONDS - 0.01
    answer = first.get("/expenses")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    clock.now += 0.02
    assert first.get("/expenses").status_code == 200


def test_each_caller_is_counted_alone_however_many_tokens_there_are(with_settings: WithSettings, clock: Clock) -> None:
    client = with_settings(rate_limit="4")
    first = first_user(client)
    other = another(first)  # which is the first user's first request
    key = other.key("read")
    other_key = other.key("read")
    again = Person(client, other.token, other.email, user=other.user)
    callers: list[tuple[Holder, int]] = [(first, 2), (other, 1), (key, 3), (other_key, 3)]
    for caller, left in callers:
        assert rate(caller.get("/ledger"))[2] == left
    assert rate(again.get("/ledger"))[2] == 0, "another token of the same user"
    assert other.get("/ledger").status_code == 429
    for caller, left in (callers[0], callers[2], callers[3]):
        assert rate(caller.get("/ledger"))[2] == left - 1


def test_whoever_is_not_known_is_neither_counted_nor_told(with_settings: WithSettings) -> None:
    client = with_settings(rate_limit="2")
    first = first_user(client)
    for _ in range(5):
        for answer in (
            nobody(client).get("/expenses"),
            Holder(client, "wrong").get("/expenses"),
            Holder(client, (first.token or "")[:-2]).get("/expenses"),
        ):
            assert answer.status_code == 401
            assert "RateLimit" not in answer.headers
    assert rate(first.get("/expenses"))[2] == 1
    assert nobody(client).get("/healthz").status_code == 200


def test_what_is_for_everybody_costs_nothing(with_settings: WithSettings) -> None:
    first = first_user(with_settings(rate_limit="2"))
    for _ in range(5):
        for path in ("/", "/healthz", "/openapi.json", "/problems"):
            answer = first.get(path)
            assert answer.status_code == 200
            assert "RateLimit" not in answer.headers
    assert rate(first.get("/expenses"))[2] == 1


def test_with_0_nothing_is_counted_and_nothing_told(with_settings: WithSettings) -> None:
    first = first_user(with_settings(rate_limit="0"))
    for _ in range(10):
        answer = first.get("/expenses")
        assert answer.status_code == 200
        assert not [name for name, _ in answer.headers if "rate" in name.lower()]


@pytest.mark.parametrize("auth", ["auto", "open"])
def test_the_open_door_has_no_limit(with_settings: WithSettings, auth: str) -> None:
    client = with_settings(auth=auth, rate_limit="2")
    for _ in range(10):
        answer = client.get("/expenses")
        assert answer.status_code == 200
        assert "RateLimit" not in answer.headers


def test_the_key_of_the_settings_has_no_limit(with_settings: WithSettings) -> None:
    key = "Zk3-bootstrap-key-of-a-machine-77x"
    holder = Holder(with_settings(bootstrap_key=key, rate_limit="2"), key)
    for _ in range(10):
        answer = holder.get("/expenses")
        assert answer.status_code == 200
        assert "RateLimit" not in answer.headers


def test_without_a_setting_there_is_a_limit_that_nobody_meets(client: FlaskClient) -> None:
    first = first_user(client)
    assert rate(first.get("/expenses"))[:3] == (60_000, RATE_SECONDS, 59_999)


def test_counting_takes_no_more_memory_than_for_so_many_callers(
    with_settings: WithSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "_CALLERS_MAX", 3)
    client = with_settings(rate_limit="100")
    first = first_user(client)
    for _ in range(5):
        assert first.key("read").get("/ledger").status_code == 200
    assert len(client.application.extensions[door.KEY]._rates) <= 3
