"""The one-line entry: what each word is taken for, in each language, and nothing that is guessed in silence."""

import datetime as dt
import time
from decimal import Decimal
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st

from cashman.index import create_app
from cashman.ledger import Ledger
from cashman.limits import ONE_LINE_CHARACTERS_MAX
from cashman.model.expense import Expense
from cashman.one_line import Known, read
from cashman.one_line.amounts import parse_number
from cashman.translations import LANGUAGES

SATURDAY = dt.date(2026, 11, 28)
BOOKS = Known(
    today=SATURDAY,
    currency="USD",
    accounts={"main": "USD", "Card": "USD", "Credit Union": "USD", "Crédit Agricole": "EUR", "Sparbuch": "EUR"},
    categories=["Food:Restaurant", "Food:Eating out", "Home:Rent", "Salary", "Work:Rent"],
    tags=["night out", "e-bike", "Été"],
)


def understood(line: str, language: str = "en", known: Known = BOOKS, **options: Any) -> dict[str, Any]:
    """The draft of a line that can be booked."""
    reading = read(line, language, known, **options)
    assert reading.errors == {}, reading.errors
    return {"type": reading.type.value, **reading.draft}


def refused(line: str, language: str = "en") -> dict[str, list[str]]:
    return {name: list(rules) for name, rules in read(line, language, BOOKS).errors.items()}


# The line of the README, in each language.

PIZZA = {
    "type": "EXPENSE",
    "description": "pizza",
    "amount": Decimal("50"),
    "currency": "USD",
    "date": dt.date(2026, 11, 27),
    "account": "Card",
    "category": "Food:Restaurant",
    "tags": ["night out"],
}


@pytest.mark.parametrize(
    ("language", "yesterday"),
    [("en", "yesterday"), ("de", "gestern"), ("es", "ayer"), ("fr", "hier"), ("pt_BR", "ontem"), ("fr", "Yesterday")],
)
def test_the_line_that_says_everything_is_understood_in_each_language(language: str, yesterday: str) -> None:
    assert understood(f"50 pizza #night-out @card Food:Restaurant {yesterday}", language) == PIZZA
    assert understood(f"{yesterday} @CARD pizza food:restaurant #Night-Out 50", language) == PIZZA


def test_every_word_is_told_what_it_was_taken_for_and_so_is_what_goes_without_saying() -> None:
    reading = read("50 cheap pizza #new @card Sweets:Ice", "en", BOOKS)
    assert [(part.text, part.field, part.value, part.new) for part in reading.parts] == [
        ("50", "amount", Decimal(50), False),
        ("cheap pizza", "description", "cheap pizza", False),
        ("#new", "tags", "new", True),
        ("@card", "account", "Card", False),
        ("Sweets:Ice", "category", "Sweets:Ice", True),
        (None, "currency", "USD", False),
        (None, "date", SATURDAY, False),
    ]


def test_a_plus_makes_an_income_and_a_category_can_stand_for_the_description() -> None:
    assert understood("+2500 Salary") == {
        "type": "INCOME",
        "description": "Salary",
        "amount": Decimal("2500"),
        "currency": "USD",
        "date": SATURDAY,
        "account": "main",
        "category": "Salary",
    }
    assert understood("-5 tip")["type"] == understood("5 tip")["type"] == "EXPENSE"


# Days. 2026-11-28 is a Saturday.


@pytest.mark.parametrize(
    ("language", "said", "day"),
    [
        ("en", "today", "2026-11-28"),
        ("en", "yesterday", "2026-11-27"),
        ("en", "the day before yesterday", "2026-11-26"),
        ("en", "saturday", "2026-11-28"),
        ("en", "last Saturday", "2026-11-21"),
        ("en", "on Friday", "2026-11-27"),
        ("en", "last friday", "2026-11-27"),
        ("en", "Sunday", "2026-11-22"),
        ("en", "3 days ago", "2026-11-25"),
        ("en", "a week ago", "2026-11-21"),
        ("en", "2026-01-31", "2026-01-31"),
        ("en", "11/24", "2026-11-24"),
        ("en", "3/4/25", "2025-03-04"),
        ("en", "24/12", "2026-12-24"),
        ("en", "1/15", "2026-01-15"),
        ("en", "12/30", "2025-12-30"),
        ("de", "heute", "2026-11-28"),
        ("de", "vorgestern", "2026-11-26"),
        ("de", "Montag", "2026-11-23"),
        ("de", "am letzten Samstag", "2026-11-21"),
        ("de", "Sonnabend", "2026-11-28"),
        ("de", "vor 3 Tagen", "2026-11-25"),
        ("de", "vor einer Woche", "2026-11-21"),
        ("de", "24.12.", "2026-12-24"),
        ("de", "24.12.2025", "2025-12-24"),
        ("de", "3/4", "2026-04-03"),
        ("es", "hoy", "2026-11-28"),
        ("es", "anteayer", "2026-11-26"),
        ("es", "antes de ayer", "2026-11-26"),
        ("es", "el miércoles", "2026-11-25"),
        ("es", "el sábado pasado", "2026-11-21"),
        ("es", "hace 3 días", "2026-11-25"),
        ("es", "3/4/2026", "2026-04-03"),
        ("fr", "aujourd’hui", "2026-11-28"),
        ("fr", "avant-hier", "2026-11-26"),
        ("fr", "mardi dernier", "2026-11-24"),
        ("fr", "il y a une semaine", "2026-11-21"),
        ("fr", "il y a 3 jours", "2026-11-25"),
        ("fr", "24/12", "2026-12-24"),
        ("pt_BR", "hoje", "2026-11-28"),
        ("pt_BR", "anteontem", "2026-11-26"),
        ("pt_BR", "terça-feira", "2026-11-24"),
        ("pt_BR", "na última sexta", "2026-11-27"),
        ("pt_BR", "sábado passado", "2026-11-21"),
        ("pt_BR", "há 3 dias", "2026-11-25"),
        ("pt_BR", "3 dias atrás", "2026-11-25"),
    ],
)
def test_days_are_understood_as_people_say_them(language: str, said: str, day: str) -> None:
    for line in (f"50 pizza {said}", f"{said} pizza $50", f"50 {said} @card pizza"):
        draft = understood(line, language)
        assert (draft["date"].isoformat(), draft["description"], draft["amount"]) == (day, "pizza", 50), line


def test_english_is_read_day_first_where_it_is_spoken_so() -> None:
    assert understood("5 tea 3/4")["date"] == dt.date(2026, 3, 4)
    assert understood("5 tea 3/4", day_first=True)["date"] == dt.date(2026, 4, 3)


def test_the_29th_of_february_is_that_of_the_last_leap_year() -> None:
    assert understood("5 tea 29.2.")["date"] == dt.date(2024, 2, 29)
    assert understood("5 tea 2/29")["date"] == dt.date(2024, 2, 29)


def test_what_is_no_day_stays_a_word() -> None:
    for said in ("31.2.", "2026-02-30", "99999999 days ago", "13/13", "0/1", "yesterdays"):
        assert understood(f"$5 tea {said}") == {**understood("$5 tea"), "description": f"tea {said}"}


def test_a_portuguese_ordinal_is_a_day_only_where_no_word_follows() -> None:
    assert understood("50 segunda parcela", "pt_BR")["description"] == "segunda parcela"
    for line in ("50 pizza segunda", "50 segunda @card pizza", "50 na segunda pizza"):
        assert understood(line, "pt_BR")["date"] == dt.date(2026, 11, 23), line


# Amounts.


@pytest.mark.parametrize(
    ("language", "written", "amount"),
    [
        ("en", "50", "50"),
        ("en", "12.50", "12.50"),
        ("en", "12,50", "12.50"),
        ("en", "1,234.56", "1234.56"),
        ("en", "1,234", "1234"),
        ("en", "1.234,56", "1234.56"),
        ("en", "$50", "50"),
        ("en", "50$", "50"),
        ("en", "$ 1,234.5", "1234.5"),
        ("en", "50 USD", "50"),
        ("en", "usd50", "50"),
        ("en", "50 usd", "50"),
        ("en", "-$50", "50"),
        ("en", "\N{MINUS SIGN}50", "50"),
        ("en", ".99", "0.99"),
        ("en", "50,", "50"),
        ("en", "1'234.50", "1234.50"),
        ("de", "12,50", "12.50"),
        ("de", "1.234", "1234"),
        ("de", "1.234,56", "1234.56"),
        ("de", "12.50", "12.50"),
        ("de", "50,-", "50"),
        ("de", "50 Dollar", "50"),
        ("es", "1.234,56", "1234.56"),
        ("fr", "1 234,56", "1234.56"),
        ("fr", "1\N{NO-BREAK SPACE}234,56", "1234.56"),
        ("fr", "1\N{NARROW NO-BREAK SPACE}234", "1234"),
        ("pt_BR", "1.234,56", "1234.56"),
        ("pt_BR", "0,5", "0.5"),
        ("pt_BR", "0,123", "0.123"),
    ],
)
def test_amounts_are_read_with_the_separators_of_the_language(language: str, written: str, amount: str) -> None:
    for line in (f"{written} tea", f"tea {written}", f"tea {written} @card"):
        draft = understood(line, language)
        assert (str(draft["amount"]), draft["description"], draft["currency"]) == (amount, "tea", "USD"), line


def test_a_currency_is_that_of_the_account_or_is_told() -> None:
    assert understood("50 € tea @sparbuch")["currency"] == "EUR"
    assert understood("$50 tea")["currency"] == "USD"
    assert refused("50 € tea") == {"currency": ["main is in USD; in EUR there is: Crédit Agricole, Sparbuch."]}
    assert refused("50 CHF tea") == {"currency": ["main is in USD, and no account is in CHF."]}
    canadian = Known(SATURDAY, "CAD", {"main": "CAD"})
    assert understood("$50 tea", known=canadian)["currency"] == "CAD"


def test_a_code_in_small_letters_is_money_only_where_the_books_keep_it() -> None:
    assert understood("50 eur tea @sparbuch")["currency"] == "EUR"
    assert understood("50 try again")["description"] == "try again"
    assert understood("50 pen")["description"] == "pen"


@pytest.mark.parametrize(
    ("line", "amount", "words"),
    [
        ("2 pizzas 50", "2", "pizzas 50"),
        ("2 pizzas $50", "50", "2 pizzas"),
        ("pizza for 2 12.50", "12.50", "pizza for 2"),
        ("flight 447 380", "380", "flight 447"),
    ],
)
def test_of_several_numbers_one_is_taken_and_that_is_told(line: str, amount: str, words: str) -> None:
    reading = read(line, "en", BOOKS)
    assert (str(reading.draft["amount"]), reading.draft["description"]) == (amount, words)
    assert len(reading.remarks) == 1
    assert amount in reading.remarks[0]


# Accounts, categories, tags.


@pytest.mark.parametrize(
    ("typed", "account"),
    [
        ("@card", "Card"),
        ("@CARD", "Card"),
        ("@credit-union", "Credit Union"),
        ("@credit union", "Credit Union"),
        ('@"credit union"', "Credit Union"),
        ("@union", "Credit Union"),
        ("@agri", "Crédit Agricole"),
        ("@credit agricole", "Crédit Agricole"),
        ("@spar", "Sparbuch"),
        ("@sparbcuh", "Sparbuch"),
    ],
)
def test_the_nearest_account_is_meant(typed: str, account: str) -> None:
    draft = understood(f"50 {typed} tea")
    assert (draft["account"], draft["description"]) == (account, "tea")


def test_an_account_that_is_unknown_or_not_clear_is_told() -> None:
    assert refused("50 tea @wallet") == {"account": ["There is no open account like @wallet."]}
    assert refused("50 tea @cre") == {"account": ["@cre can be any of: Credit Union, Crédit Agricole."]}
    assert refused("50 tea @card @spar") == {"account": ["There are two of these in the line: @card, @spar."]}
    assert "account" not in read("50 tea @wallet", "en", BOOKS).draft


def test_names_that_differ_in_a_capital_only_are_told_apart_by_it() -> None:
    known = Known(SATURDAY, "USD", {"main": "USD", "card": "USD", "Card": "USD"}, categories=["food", "Food"])
    for typed in ("card", "Card"):
        assert understood(f"5 tea @{typed}", known=known)["account"] == typed
    assert list(read("5 tea @CARD", "en", known).errors) == ["account"]
    assert understood("5 tea Food", known=known)["category"] == "Food"


def test_a_line_of_nothing_but_names_is_read_in_time_also_where_there_are_many() -> None:
    known = Known(
        SATURDAY,
        "USD",
        {"main": "USD", **{f"Account {number}": "USD" for number in range(2_000)}},
        [f"A{number % 50}:B{number}" for number in range(5_000)],
    )
    for words in ("@acount ", "a:b ", "last ", "#a-b ", "1 2 ", "A5 ", '"', "il y a 3 ", "+ $ 5 ", "A:b", "9"):
        before = time.process_time()
        read((words * ONE_LINE_CHARACTERS_MAX)[:ONE_LINE_CHARACTERS_MAX], "fr", known)
        assert time.process_time() - before < 5, words  # a name for each word would be minutes


@pytest.mark.parametrize(
    ("line", "category", "words"),
    [
        ("50 tea food:restaurant", "Food:Restaurant", "tea"),
        ("50 tea FOOD:sushi", "Food:sushi", "tea"),
        ("50 tea Food:Eating out", "Food:Eating out", "tea"),
        ('50 tea Food:"Fish and chips"', "Food:Fish and chips", "tea"),
        ("50 tea New:Thing", "New:Thing", "tea"),
        ("50 tea Restaurant", "Food:Restaurant", "tea"),
        ("50 tea Restaurant yesterday", "Food:Restaurant", "tea"),
        ("50 tea Salary @card", "Salary", "tea"),
    ],
)
def test_a_category_is_a_path_or_a_known_name_with_a_capital(line: str, category: str, words: str) -> None:
    draft = understood(line)
    assert (draft["category"], draft["description"]) == (category, words)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("50 Restaurant Adler", "Restaurant Adler"),
        ("50 tea restaurant", "tea restaurant"),
        ("50 tea Rent", "tea Rent"),  # that could be either of two
        ("50 tea at 12:30", "tea at 12:30"),
        ("50 https://example.com/a:b tea", "https://example.com/a:b tea"),
        ("50 note: tea", "note: tea"),
        ("50 ann@example.com", "ann@example.com"),
        ("50 room 101b", "room 101b"),
        ("50 @ # tea", "@ # tea"),
        ('50 "yesterday Food:Restaurant #1 @card"', "yesterday Food:Restaurant #1 @card"),
        ("50 “yesterday”", "yesterday"),
        ('50 5" nails', '5" nails'),
        ("50 l’été", "l’été"),
    ],
)
def test_what_means_nothing_else_is_description(line: str, words: str) -> None:
    draft = understood(line)
    assert draft["description"] == words
    assert "category" not in draft
    assert draft["date"] == SATURDAY


@pytest.mark.parametrize(
    ("typed", "tag", "new"),
    [
        ("#night-out", "night out", False),
        ("#NIGHT-OUT", "night out", False),
        ("#e-bike", "e-bike", False),
        ("#ete", "Été", False),
        ("#date-night", "date night", True),
        ('#"date-night"', "date-night", True),
        ('#"date night"', "date night", True),
        ("#-", "-", True),
    ],
)
def test_dashes_in_a_tag_are_blanks_unless_the_books_know_it_so_or_it_is_quoted(
    typed: str, tag: str, new: bool
) -> None:
    reading = read(f"50 tea {typed} {typed}", "en", BOOKS)
    assert reading.draft["tags"] == [tag]
    assert {part.new for part in reading.parts if part.field == "tags"} == {new}


@pytest.mark.parametrize(
    ("language", "mark"),
    [
        ("en", "*"),
        ("en", "*pending"),
        ("de", "*offen"),
        ("es", "*pendiente"),
        ("fr", "*attente"),
        ("pt_BR", "*pendente"),
    ],
)
def test_a_star_marks_what_is_pending(language: str, mark: str) -> None:
    assert understood(f"50 tea {mark}", language)["status"] == "pending"


def test_what_is_missing_or_said_twice_is_told_by_field() -> None:
    assert set(refused("")) == set(refused("@card #tag")) == {"amount", "description"}
    assert refused("pizza") == {"amount": ["There is no amount in the line."]}
    assert refused("50") == {"description": ["It takes a word or two of what it was for."]}
    assert set(refused("50 tea yesterday today")) == {"date"}
    assert set(refused("50 tea Food:Restaurant Home:Rent")) == {"category"}


# Whatever is typed.

PIECES = (
    "50 1.234,56 +5 - $ € EUR 12/24 24.12. 2026-02-30 99999 days ago last friday vor einer il y a 3 hace há pasado #a- "
    "# @ @card @c Food: :a Food:Restaurant a:b: \" “ ” '’ *pending * 0 ,5 50,- ٣ ½ \0 \ud800 \N{NO-BREAK SPACE} é"
).split(" ")
TEXTS = st.text(max_size=80) | st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join)


@settings(max_examples=400, deadline=None)
@given(TEXTS, st.sampled_from(LANGUAGES), st.booleans())
def test_no_text_is_too_strange(line: str, language: str, day_first: bool) -> None:
    reading = read(line, language, BOOKS, day_first=day_first)
    typed = [part.text for part in reading.parts if part.text is not None]
    # Each word is taken for one thing, once.
    assert sorted("".join("".join(typed).split())) == sorted("".join(line.split()))
    assert bool({"amount", "description"} - set(reading.draft)) <= bool(reading.errors)


@settings(max_examples=200, deadline=None)
@given(
    st.decimals(min_value=0, max_value=Decimal("9999999999999.99"), places=2),
    st.sampled_from(LANGUAGES),
    st.booleans(),
)
def test_an_amount_is_exact(amount: Decimal, language: str, grouped: bool) -> None:
    written = f"{amount:,.2f}" if grouped else f"{amount:.2f}"
    if language in ("de", "es", "fr", "pt_BR"):
        written = written.translate(str.maketrans(",.", ".,"))
    assert parse_number(written, language) == amount
    assert read(f"tea {written}", language, BOOKS).draft["amount"] == amount


# Over HTTP.


@pytest.fixture
def kept(ledger: Ledger) -> Ledger:
    """A ledger with a card and a category."""
    ledger.open_account({"name": "Card", "currency": "USD"})
    ledger.open_account({"name": "Purse", "currency": "USD", "closed": False})
    ledger.record(Expense("pizza", 5, category="Food:Restaurant", tags=["night out"]))
    return ledger


def ask(client: FlaskClient, line: str, language: str = "en") -> Any:
    answer = client.get("/one-line", query_string={"text": line}, headers={"Accept-Language": language})
    assert answer.status_code == 200, answer.text
    return answer.json


def test_the_draft_is_booked_as_it_is(client: FlaskClient, kept: Ledger) -> None:
    told = ask(client, "12,50 Pizza #night-out @card Food:Restaurant gestern", "de")
    assert (told["type"], told["post_to"], told["errors"], told["remarks"]) == ("EXPENSE", "/expenses", {}, [])
    yesterday = (kept.today - dt.timedelta(days=1)).isoformat()
    assert told["draft"] == {
        "description": "Pizza",
        "amount": 12.5,
        "currency": "USD",
        "date": yesterday,
        "account": "Card",
        "category": "Food:Restaurant",
        "tags": ["night out"],
    }
    answer = client.post(told["post_to"], json=told["draft"], headers={"Prefer": "return=representation"})
    assert answer.status_code == 201
    booked = answer.get_json()
    assert {name: booked[name] for name in told["draft"]} == {**told["draft"], "amount": -12.5}


def test_an_income_goes_to_incomes(client: FlaskClient, kept: Ledger) -> None:
    told = ask(client, "+2500.10 wages")
    assert (told["type"], told["post_to"]) == ("INCOME", "/incomes")
    assert client.post(told["post_to"], json=told["draft"]).status_code == 204


def test_what_the_schemas_refuse_is_told_before_it_is_booked(client: FlaskClient, kept: Ledger) -> None:
    for line, field, language, word in [
        ("12.345 tea", "amount", "en", "rounded"),
        ("0 tea", "amount", "de", "Null"),
        ("99999999999999999 tea", "amount", "en", "At most"),
        (f"5 {'x' * 501}", "description", "en", "At most 500"),
        (f"5 tea {'a' * 150}:{'b' * 150}", "category", "en", "200"),
        ("5 tea " + " ".join(f"#t{number}" for number in range(21)), "tags", "en", "20"),
    ]:
        told = ask(client, line, language)
        assert told["post_to"] is None
        assert word in str(told["errors"][field]), told
    answer = client.get("/one-line", query_string={"text": "pizza"}, headers={"Accept-Language": "fr"})
    assert answer.headers["Content-Language"] == "fr"
    assert answer.json["errors"] == {"amount": ["La ligne ne contient aucun montant."]}


def test_a_closed_account_is_not_meant(client: FlaskClient, kept: Ledger) -> None:
    number = next(row["id"] for row in kept.chart()[0].accounts.values() if row["name"] == "Purse")
    assert ask(client, "5 tea @purse")["draft"]["account"] == "Purse"
    kept.replace_account(number, {"closed": True})
    assert ask(client, "5 tea @purse")["errors"] == {"account": ["There is no open account like @purse."]}


@pytest.mark.parametrize(
    ("header", "day"),
    [
        ("en", "2026-03-04"),
        ("en-US,en;q=0.9", "2026-03-04"),
        ("en-GB,en;q=0.9", "2026-04-03"),
        ("en-AU", "2026-04-03"),
        ("en-XX-nowhere", "2026-03-04"),
        ("de-AT", "2026-04-03"),
        ("zh", "2026-03-04"),
        ("", "2026-03-04"),
    ],
)
def test_the_kind_of_english_says_what_comes_first(client: FlaskClient, kept: Ledger, header: str, day: str) -> None:
    assert ask(client, "5 tea 3/4/2026", header)["draft"]["date"] == day


def test_a_line_of_another_ledger_goes_to_that_ledger(client: FlaskClient, kept: Ledger) -> None:
    ulid = client.get("/ledger").get_json()["id"]
    answer = client.get(f"/ledgers/{ulid}/one-line?text=5+tea")
    assert answer.get_json()["post_to"] == f"/ledgers/{ulid}/expenses"


def test_a_line_is_needed_and_has_its_length(client: FlaskClient) -> None:
    assert client.get("/one-line").status_code == 422
    assert client.get("/one-line", query_string={"text": "5 " + "x" * ONE_LINE_CHARACTERS_MAX}).status_code == 422
    assert client.get("/one-line", query_string={"text": "5 \0"}).status_code == 422
    assert client.get("/one-line?text=").status_code == 200


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """One ledger for all that is thrown at it."""
    url = f"sqlite:///{tmp_path_factory.mktemp('one_line') / 'cashman.db'}"
    return create_app({"CASHMAN_DATABASE_URL": url}).test_client()


@settings(max_examples=60, deadline=None)
@given(line=TEXTS)
def test_no_text_is_a_fault_of_the_service_and_what_it_calls_a_draft_is_booked(service: FlaskClient, line: str) -> None:
    answer = service.get("/one-line", query_string={"text": line.encode("utf-8", "replace").decode()})
    assert answer.status_code in (200, 422), answer.text
    if answer.status_code == 200 and answer.json["post_to"]:
        assert service.post(answer.json["post_to"], json=answer.json["draft"]).status_code == 204
