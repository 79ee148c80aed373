"""Bad input, and what it gets: the same on both engines, soon, without growing memory, and nothing is recorded."""

import gc
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from flask.testing import FlaskClient
from serving import ENGINES, standing_app

CPU_SECONDS_MAX = 0.050
# What a body of many thousand members may cost: it has to be read before it can be refused.
BULKY_CPU_SECONDS_MAX = 0.150
TRIES = 4
# What refusing all of them twice may leave behind: less than a tenth of the largest body here.
BYTES_KEPT_MAX = 100_000
# What it may take while it is refused: several times the largest document.
BYTES_PEAK_MAX = 40_000_000


@dataclass(frozen=True)
class Case:
    """A request that is refused, and how."""

    name: str
    body: bytes
    status: int
    field: str | None = None
    path: str = "/expenses"
    method: str = "POST"
    media_type: str = "application/json"


def document(**fields: Any) -> bytes:
    """An expense in which only the given fields are wrong."""
    return json.dumps({"description": "pizza", "amount": 50} | fields).encode()


def amount(written: str, more: str = "") -> bytes:
    return f'{{"description": "pizza", "amount": {written}{more}}}'.encode()


def malformed(name: str, body: bytes) -> Case:
    return Case(name, body, 400)


def field(name: str, field: str, body: bytes, **where: str) -> Case:
    return Case(name, body, 422, field, **where)


CASES = [
    malformed("nothing", b""),
    malformed("text", b"pizza 50"),
    malformed("cut", b'{"description": "piz'),
    malformed("two documents", document() + document()),
    malformed("NaN", amount("NaN")),
    malformed("Infinity", amount("Infinity")),
    malformed("minus Infinity", amount("-Infinity")),
    malformed("a duplicate key", amount('1, "amount": 2')),
    malformed("a duplicate key deep inside", amount('1, "tags": [{"a": 1, "a": 2}]')),
    malformed("many members", document(**{f"x{number}": 0 for number in range(10_000)})),
    malformed("33 levels", amount('1, "tags": ' + "[" * 32 + "]" * 32)),
    malformed("200,000 brackets", b"[" * 200_000),
    malformed("200,000 brackets, closed", b"[" * 200_000 + b"]" * 200_000),
    malformed("200,000 objects", b'{"a":' * 200_000),
    malformed("no UTF-8", document().replace(b"pizza", b"pizz\xe0")),
    malformed("UTF-16", document().decode().encode("utf-16")),
    malformed("a digit of another script as a number", amount("\u0663")),
    malformed("an underscore in a number", amount("1_000")),
    field("32 levels", "tags", amount('1, "tags": ' + "[" * 31 + "]" * 31)),
    field("a NUL", "description", document(description="piz\0za")),
    field("a NUL in a tag", "tags", document(tags=["\0"])),
    field("a NUL in the category", "category", document(category="a:\0")),
    field("half a surrogate pair", "description", b'{"description": "\\ud800", "amount": 1}'),
    field("the other half", "notes", b'{"description": "x", "notes": "\\udc00\\ud800", "amount": 1}'),
    field("half a surrogate pair as a name", r"\ud800", b'{"description": "x", "amount": 1, "\\ud800": 1}'),
    field("no description", "description", b'{"amount": 1}'),
    field("no amount", "amount", b'{"description": "x"}'),
    field("an unknown field", "colour", document(colour="red")),
    field("a NUL as a name", "\0", document(**{"\0": 1})),
    field("many unknown fields", "x0", document(**{f"x{number}": 0 for number in range(900)})),
    field("a list", "document", b"[]"),
    field("a string", "document", b'"pizza"'),
    field("null", "document", b"null"),
    field("a number for a description", "description", document(description=5)),
    field("null for a description", "description", document(description=None)),
    field("a list for a description", "description", document(description=["pizza"])),
    field("true for an amount", "amount", document(amount=True)),
    field("null for an amount", "amount", document(amount=None)),
    field("an object for an amount", "amount", document(amount={"value": 1})),
    field("a string for tags", "tags", document(tags="night out")),
    field("an object in tags", "tags", document(tags=[{}])),
    field("a number for a date", "date", document(date=20260101)),
    field("1_000", "amount", document(amount="1_000")),
    field("blanks around", "amount", document(amount=" 5 ")),
    field("a line end after", "amount", document(amount="5\n")),
    field("Arabic digits", "amount", document(amount="\u0665\u0660")),
    field("a full-width digit", "amount", document(amount="\uff15")),
    field("an exponent in a string", "amount", document(amount="1e2")),
    field("a plus sign", "amount", document(amount="+5")),
    field("a comma", "amount", document(amount="5,00")),
    field("a currency sign", "amount", document(amount="$5")),
    field("no digits", "amount", document(amount="")),
    field("a point alone", "amount", document(amount=".")),
    field("NaN as a string", "amount", document(amount="NaN")),
    field("Infinity as a string", "amount", document(amount="Infinity")),
    field("1e1000000", "amount", amount("1e1000000")),
    field("-1e1000000", "amount", amount("-1e1000000")),
    field("1e-1000000", "amount", amount("1e-1000000")),
    field("1e999999999999999999999", "amount", amount("1e999999999999999999999")),
    field("31 digits", "amount", amount("1" * 31)),
    field("31 digits in a string", "amount", document(amount="1" * 31)),
    field("a million digits", "amount", amount("1" * 1_000_000)),
    field("a million digits in a string", "amount", document(amount="1" * 1_000_000)),
    field("a million decimals", "amount", amount("1." + "0" * 1_000_000)),
    field("1e15 USD", "amount", amount("1e15")),
    field("one more than the most", "amount", amount("10000000000000.00")),
    field("0", "amount", amount("0")),
    field("-0.00", "amount", amount("-0.00")),
    field("0 as an income", "amount", amount("0"), path="/incomes"),
    field("-5 as an income", "amount", amount("-5"), path="/incomes"),
    field("-5 as an income in all", "amount", amount("-5", ', "type": "INCOME"'), path="/transactions"),
    field("12.345 USD", "amount", amount("12.345")),
    field("0.001 USD", "amount", amount("1e-3")),
    field("1.5 JPY", "amount", amount("1.5", ', "currency": "JPY"')),
    field("an unknown currency", "currency", document(currency="XYZ")),
    field("a currency in small letters", "currency", document(currency="usd")),
    field("a currency that is no string", "currency", document(currency=["USD"])),
    field("an empty description", "description", document(description="")),
    field("a blank description", "description", document(description=" \n\t\u2003")),
    field("10 kB of description", "description", document(description="x" * 10_000)),
    field("501 characters", "description", document(description="x" * 501)),
    field("201 bytes of category", "category", document(category="\u00e9" * 100 + "x")),
    field("an empty name in a category", "category", document(category="Food::Coffee")),
    field("21 tags", "tags", document(tags=[str(number) for number in range(21)])),
    field("a tag twice", "tags", document(tags=["a", "a"])),
    field("51 characters of tag", "tags", document(tags=["x" * 51])),
    field("many tags", "tags", document(tags=["x"] * 20_000)),
    field("many numbers for tags", "tags", document(tags=[5] * 20_000)),
    field("5,001 characters of notes", "notes", document(notes="x" * 5_001)),
    field("an account that is not there", "account", document(account="nowhere")),
    field("30 February", "date", document(date="2026-02-30")),
    field("29 February of no leap year", "date", document(date="2026-02-29")),
    field("year 0", "date", document(date="0000-01-01")),
    field("a week date", "date", document(date="2026-W01-1")),
    field("an instant for a date", "date", document(date="2026-01-01T00:00:00Z")),
    field("a date of another script", "date", document(date="\u0662\u0660\u0662\u0666-01-01")),
    field("a type that contradicts the route", "type", document(type="INCOME")),
    field("the same the other way round", "type", document(type="EXPENSE"), path="/incomes"),
    field("a type that is none", "type", document(type="TransactionType.INCOME")),
    field("no type where there are several", "type", document(), path="/transactions"),
    field("an id that is no ULID", "id", document(id="1")),
    field("an id in small letters", "id", document(id="01arz3ndektsv4rrffq69g5fav")),
    field("an id past 128 bits", "id", document(id="8" + "0" * 25)),
    field("what only the ledger sets", "version", document(version=1)),
    field("an unknown query parameter", "colour", b"", path="/expenses?colour=red", method="GET"),
    field("a query parameter where none is taken", "x", document(), path="/expenses?x=1"),
    field("30 February in a query", "from", b"", path="/expenses?from=2026-02-30", method="GET"),
    field("8 kB of cursor", "cursor", b"", path="/expenses?cursor=" + "A" * 8_000, method="GET"),
    field("40 digits in a query", "min_amount", b"", path="/expenses?min_amount=" + "9" * 41, method="GET"),
    Case("a body over 1 MB", document(notes="x" * 1_048_576), 413),
    Case("a body over 1 MB that is no JSON", b"x" * 1_048_577, 413),
    Case("a form", b"description=pizza&amount=50", 415, media_type="application/x-www-form-urlencoded"),
    Case("JSON that says it is text", document(), 415, media_type="text/plain"),
    Case("JSON in Latin-1", document(), 415, media_type="application/json; charset=latin-1"),
    Case("a wrong method", document(), 405, method="PUT"),
    Case("DELETE of a list", b"", 405, method="DELETE"),
]


@pytest.fixture(scope="module", params=ENGINES)
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """One ledger for all of them, because none may be recorded."""
    with standing_app(request.param, request, tmp_path_factory.mktemp("standing")) as app:
        yield app.test_client()


def send(client: FlaskClient, case: Case) -> Any:
    return client.open(case.path, method=case.method, data=case.body, content_type=case.media_type)


def cpu_seconds(work: Callable[[], Any]) -> float:
    """What it costs this process, at best: the machine's other work does not count, and the first time warms up."""
    costs = []
    for _ in range(TRIES):
        begin = time.process_time()
        work()
        costs.append(time.process_time() - begin)
        if costs[-1] < CPU_SECONDS_MAX:
            break
    return min(costs)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_refused_soon_with_the_field_and_the_rule_and_nothing_is_recorded(
    client: FlaskClient, case: Case
) -> None:
    bulky = case.name.startswith("many")
    before = client.get("/transactions")
    answer = send(client, case)
    assert answer.status_code == case.status, answer.text[:300]
    assert answer.mimetype == "application/problem+json"
    problem = answer.json
    assert problem["status"] == case.status
    if case.status == 400:
        assert problem["detail"]
    if case.status == 405:
        assert "POST" in answer.headers["Allow"]
    if case.field is not None:
        assert case.field in problem["errors"]
        if case.name != "many unknown fields":
            assert list(problem["errors"]) == [case.field]
        assert json.dumps(problem["errors"][case.field]) not in ("[]", '[""]', "null")
    assert len(answer.data) < max(5_000, 3 * len(case.body)), "an answer is not much larger than the question"
    after = client.get("/transactions")
    assert (after.data, after.headers["Cashman-Head"]) == (before.data, before.headers["Cashman-Head"])
    limit = BULKY_CPU_SECONDS_MAX if bulky else CPU_SECONDS_MAX
    assert cpu_seconds(lambda: send(client, case)) < limit


def test_the_clock_sees_what_a_careless_number_would_cost() -> None:
    """The control of the time limit: a fifteenth of the exponent of 1e1000000 already breaks it."""
    assert cpu_seconds(lambda: int(Decimal("1e66666"))) > CPU_SECONDS_MAX


def test_refusing_keeps_no_memory(client: FlaskClient) -> None:
    for case in CASES:
        send(client, case)
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(2):
            for case in CASES:
                tracemalloc.reset_peak()
                send(client, case)
                assert tracemalloc.get_traced_memory()[1] < BYTES_PEAK_MAX, case.name
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < BYTES_KEPT_MAX
        # The control: the scales see what is kept.
        kept = bytes(2 * BYTES_KEPT_MAX)
        assert tracemalloc.get_traced_memory()[0] > BYTES_KEPT_MAX
        del kept
    finally:
        tracemalloc.stop()


def test_a_description_of_500_characters_and_every_other_limit_is_taken(client: FlaskClient) -> None:
    """The control of the refusals: what stands at the limits is no bad input."""
    at_the_limits = {
        "description": "\U0001f355" * 500,
        "amount": "9999999999999.99",
        "category": "\u00e9" * 100,
        "tags": [f"{number:050}" for number in range(20)],
        "notes": "x" * 5_000,
        "payee": "p" * 200,
        "date": "0001-01-01",
    }
    answer = client.post("/expenses", json=at_the_limits, headers={"Prefer": "return=representation"})
    assert answer.status_code == 201, answer.text
    assert answer.json["description"] == at_the_limits["description"]
