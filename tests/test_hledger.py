"""Hledger's journals, in and out, with the real hledger beside them."""

import csv
import io
import os
import shutil
import subprocess
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from conftest import missing
from hypothesis import HealthCheck, given, settings
from test_plain_text import books_with_rows, expected, items_in, read_again, sums, written_books

from cashman.errors import UnreadableFile
from cashman.formats import beancount, hledger
from cashman.formats.postings import OutgoingNames
from cashman.formats.records import Account, Booked, Books, Item, Movement, Refused, Skipped, Split, Transfer

SAMPLES = Path(__file__).parent / "data" / "import"
random_books = settings(
    derandomize=True,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
asked_books = settings(random_books, max_examples=30)

ENTRY = "2024-02-29 Kin Soy | Eating out\n"
ULID_RULE = "Not a ULID: 26 characters of Crockford's base 32, in capitals."
TOO_LONG = "Not an amount, or longer than any amount."
LOTS = "Lots (what was held at a cost) are not kept here."
NOT_JSON = "What stands behind cashman-notes has to be a JSON string."
NO_POSTING = "This is neither a posting nor a comment."
NO_LINE = "This is nothing that stands in a journal."
ONLY_A_BALANCE = "Only a balance is given here, and no amount: what was moved is not said."
THOUSANDS = "1,000: thousands or decimals? A line before it can say: decimal-mark ."
TWO = "    assets:a   5 USD\n    income:b\n"


@pytest.fixture(scope="module")
def program() -> str:
    """The real hledger."""
    found = shutil.which("hledger")
    if found is None:
        missing("hledger")
    assert found is not None
    return found


def ask(program: str, journal: str, *arguments: str) -> str:
    """What hledger answers about a journal; the test fails where it takes it for wrong."""
    done = subprocess.run(
        [program, "-f", "-", *arguments],
        input=journal,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), journal
    return done.stdout


def balances(program: str, journal: str) -> dict[tuple[str, str], Decimal]:
    """What hledger has by account and currency, zeros aside."""
    answer = ask(program, journal, "balance", "--flat", "-N", "--layout=bare", "-O", "csv")
    rows = csv.DictReader(io.StringIO(answer, newline=""))
    found = {(row["account"], row["commodity"]): Decimal(row["balance"].rstrip(".")) for row in rows}
    return {key: amount for key, amount in found.items() if amount}


def read(text: str | bytes) -> list[Item]:
    return items_in(hledger, text)


def one(text: str) -> Item:
    """The only item of a text."""
    [item] = read(text)
    return item


# What entries mean.


def test_a_leg_of_money_and_one_of_an_expense_are_an_expense() -> None:
    item = one("2024-02-29=2024-03-01 * (code) Kin Soy | Eating out  ; said: so, trip:\n    ; more\n"
               "    liabilities:card  $-50.00  ; on the leg\n    expenses:food:restaurant\n")  # fmt: skip
    assert isinstance(item, Movement)
    assert (str(item.date), item.amount, item.currency) == ("2024-02-29", Decimal("-50.00"), "USD")
    assert (item.account, item.category) == ("liabilities:card", "food:restaurant")
    assert (item.payee, item.description, item.line) == ("Kin Soy", "Eating out", 1)
    assert item.tags == ["trip"]
    assert item.notes == "(code)\nsaid: so, trip:\nmore\non the leg"


@pytest.mark.parametrize(
    ("amount", "value", "currency"),
    [
        ("5", "5", None), ("-$5", "-5", "USD"), ("$-5", "-5", "USD"), ("- $5", "-5", "USD"), ("€5,50", "5.50", "EUR"),
        ("5.50 €", "5.50", "EUR"), ("£5", "5", "GBP"), ("5USD", "5", "USD"), ('5 "EUR"', "5", "EUR"),
        ("EUR 5", "5", "EUR"),
        ("1,234.50 USD", "1234.50", "USD"), ("1.234,50 USD", "1234.50", "USD"), ("1 234,50 USD", "1234.50", "USD"),
        ("1,00,000.00 USD", "100000.00", "USD"), ("1,000,000 USD", "1000000", "USD"), ("1.000 USD", "1.000", "USD"),
        ("1E3 USD", "1000", "USD"), ("USD 1e-2", "0.01", "USD"), (".5 USD", "0.5", "USD"), ("5. USD", "5", "USD"),
        ("+5 USD", "5", "USD"), ("5 USD = 5 USD", "5", "USD"), ("5 USD ==* 5 USD", "5", "USD"),
        ("5 USD;said", "5", "USD"),
    ],
)  # fmt: skip
def test_amounts_are_taken_as_hledger_takes_them(program: str, amount: str, value: str, currency: str | None) -> None:
    journal = ENTRY + f"    assets:a  {amount}\n    income:b\n"
    item = one(journal)
    assert isinstance(item, Movement), item
    assert (item.amount, item.currency) == (Decimal(value), currency)
    printed = ask(program, "commodity 1000.00 X\n" + journal, "print", "-O", "csv")
    credit = next(row for row in csv.DictReader(io.StringIO(printed)) if row["account"] == "assets:a")
    assert credit["amount"].rstrip(".,").replace(",", ".") == f"{Decimal(value):f}" or len(amount) > 12


def test_a_decimal_mark_that_is_declared_counts() -> None:
    legs = "    assets:a  1.000 EUR\n    income:b\n"
    for line in (
        "decimal-mark ,\n",
        "commodity 1.000,00 EUR\n",
        "commodity EUR\n  format 1.000,00 EUR\n",
        "D 1.000,00 EUR\n",
    ):
        item = read(line + ENTRY + legs)[-1]
        assert isinstance(item, Movement)
        assert item.amount == 1000
    item = read("decimal-mark .\n" + ENTRY + "    assets:a  1,000 EUR\n    income:b\n")[-1]
    assert isinstance(item, Movement)
    assert item.amount == 1000


def test_a_default_commodity_is_that_of_bare_numbers() -> None:
    item = read("D $1000.00\n" + ENTRY + "    assets:a  5\n    income:b\n")[-1]
    assert isinstance(item, Movement)
    assert item.currency == "USD"


@pytest.mark.parametrize(
    ("head", "day"),
    [("2024-1-2 x", "2024-01-02"), ("2024/01/02", "2024-01-02"), ("2024.1.2 * x", "2024-01-02"),
     ("Y2019\n1/2 x", "2019-01-02"),
     ("Y 2019\n1-2 x", "2019-01-02"), ("apply year 2019\n1.2 x", "2019-01-02")],
)  # fmt: skip
def test_dates_have_three_forms_and_a_year_from_before(head: str, day: str) -> None:
    item = one(head + "\n" + TWO)
    assert isinstance(item, Movement)
    assert str(item.date) == day


def test_two_legs_of_money_are_a_transfer_with_or_without_a_price() -> None:
    for legs in (
        "    assets:a  -100.00 USD @@ 90.00 EUR\n    assets:b  90.00 EUR\n",
        "    assets:a  -100.00 USD @ 0.9 EUR\n    assets:b\n",
        "    assets:a  -100.00 USD (@) 0.9 EUR\n    assets:b\n",
        "    assets:a  -100.00 USD\n    assets:b  90.00 EUR\n",
    ):
        item = one(ENTRY + legs)
        assert isinstance(item, Transfer), item
        assert (item.out.account, item.out.amount, item.out.currency) == ("assets:a", Decimal(-100), "USD")
        assert (item.into.account, item.into.amount, item.into.currency) == ("assets:b", Decimal(90), "EUR")


def test_kinds_of_accounts_are_declared_or_told_by_their_names() -> None:
    items = read(
        "account wallet  ; type:C\naccount pay  ; type: Revenue\naccount shop\n    ; type:X\n"
        "2024-01-01 a\n    wallet:left  5 USD\n    pay:job\n"
        "2024-01-01 b\n    Assets:x  -5 USD\n    shop\n"
        "2024-01-01 c\n    DEBTS:x  -5 USD\n    Expenses\n"
    )
    assert [(item.account, item.category) for item in items if isinstance(item, Movement)] == [
        ("wallet:left", "pay:job"), ("Assets:x", "shop"), ("DEBTS:x", None)
    ]  # fmt: skip


def test_prefixes_and_aliases_are_followed() -> None:
    items = read(
        "apply account assets\nalias assets:giro = assets:bank:giro\n"
        "2024-01-01 a\n    giro:x  5 USD\n    safe  -5 USD\nend apply account\n"
        "2024-01-01 b\n    assets:giro  5 USD\n    income:b\nend aliases\n"
        "2024-01-01 c\n    assets:giro  5 USD\n    income:b\n"
    )
    assert isinstance(items[0], Skipped)
    assert isinstance(items[1], Transfer)
    assert (items[1].out.account, items[1].into.account) == ("assets:safe", "assets:bank:giro:x")
    assert [item.account for item in items if isinstance(item, Movement)] == ["assets:bank:giro", "assets:giro"]


def test_an_alias_that_is_a_pattern_makes_the_file_unreadable() -> None:
    with pytest.raises(UnreadableFile, match="regular expression") as caught:
        read(ENTRY + TWO + "\nalias /a(.*)/ = b\n")
    assert list(caught.value.errors or ()) == [5]


def test_every_account_of_an_opening_entry_is_opened() -> None:
    items = read(
        "account assets:a\n"
        "2024-01-01 opening\n    assets:a  5 USD\n    assets:b  -7 EUR\n    equity:opening/closing balances\n\n"
        "2024-01-02 opening again\n    assets:b  1 EUR\n    equity:opening balances\n"
    )  # fmt: skip
    opened = [item for item in items if isinstance(item, Account)]
    assert [(item.name, item.currency, item.opening_balance, str(item.opening_date)) for item in opened] == [
        ("assets:a", "USD", Decimal(5), "2024-01-01"),
        ("assets:b", "EUR", Decimal(-7), "2024-01-01"),
    ]
    assert items[2:] == [Skipped(8, "Only the first opening balance of assets:b counts.")]


def test_comments_and_what_is_no_entry_are_passed_over_or_told() -> None:
    items = read(
        "# a comment\n; another\n* a heading\n"
        "comment\n2024-01-01 hidden\n    assets:a  5 USD\n    income:b\nend comment\n"
        "P 2024-01-01 EUR $1.10\ninclude /etc/passwd\n~ monthly\n    assets:a  5 USD\n    income:b\n"
        "= expenses:food\n    (budget)  *-1\npayee Kin Soy\ntag trip\n"
        "2024-01-01 all virtual\n    (budget)  5 USD\n    [budget:b]  5 USD\n"
        "2024-01-01 partly\n    assets:a  5 USD\n    income:b\n    (budget)  5 USD\n"
    )
    assert [(item.line, item.reason) for item in items if isinstance(item, Skipped)] == [
        (9, "P: no movement of money."),
        (10, "This is another file, and is not read: import it, too."),
        (11, "A rule is not followed: only what is booked is read."),
        (14, "A rule is not followed: only what is booked is read."),
        (19, "A virtual posting moves no money."),
        (24, "A virtual posting moves no money."),
    ]
    assert [type(item).__name__ for item in items if not isinstance(item, Skipped)] == ["Movement"]


def test_an_include_is_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    included = tmp_path / "included.journal"
    included.write_text(ENTRY + TWO)
    text = f"include {included}\n"
    assert "Kin Soy" in ask(program, text, "print")  # as hledger does
    opened: list[str] = []
    real = open
    monkeypatch.setattr("builtins.open", lambda *given, **named: opened.append(str(given[0])) or real(*given, **named))
    assert len(read(text)) == 1
    assert opened == []


@pytest.mark.parametrize(
    ("legs", "reason"),
    [
        ("    assets:a  5 VACHR\n    income:b\n", "VACHR is no currency of ISO 4217."),
        ("    assets:a  5 ITOT @ 2 USD\n    assets:b  -10 USD\n", "ITOT is no currency of ISO 4217."),
        ("    assets:a  5 EUR {2 USD} @ 2 USD\n    assets:b  -10 USD\n", LOTS),
        ("    income:a  5 USD\n    expenses:b\n", "No account of money takes part."),
        ("    assets:a  5 USD\n    equity:c\n", "Equity is neither an account of money nor a category."),
        ("    assets:a  0 USD\n    expenses:b\n", "Zero is not a movement of money."),
    ],
)  # fmt: skip
def test_what_is_no_movement_of_money_is_skipped_with_the_reason(legs: str, reason: str) -> None:
    assert one(ENTRY + legs) == Skipped(1, reason)


def test_what_is_odd_and_yet_a_journal_s_is_read() -> None:
    items = read(
        "    ; indented, below nothing\ncommodity USD\ncommodity\n"
        'account assets:x  ; cashman-name:"\\q"\n'
        "2024-01-01 opening\n    assets:a  what is this\n    equity:opening\n"
        "2024-01-01 none\n    ; here\n"
    )
    assert items == [
        Refused(4, {"line": ["What stands behind cashman-name has to be a JSON string."]}),
        Refused(6, {"amount": ["Not an amount: what is this."]}),
        Skipped(8, "The transaction has no postings."),
    ]


# Bad input.


LEG = ENTRY + "    assets:a"
UNKNOWN = "cash is none of assets, liabilities, equity, income and expenses."
LEFT = "The transaction does not balance: {} USD are left."
KINDS = "Not one of cash, bank, card, savings, loan, investment, other."


@pytest.mark.parametrize(
    ("text", "line", "errors"),
    [
        (LEG + "  -5 USD\n    income:b  4 USD\n", 1, {"amount": [LEFT.format("-1")]}),
        (LEG + "  1.00 USD\n    income:b  -1.004 USD\n", 1, {"amount": [LEFT.format("-0.004")]}),
        (LEG + "\n    income:b\n", 3, {"amount": ["Only one posting may leave its amount out."]}),
        (LEG + "  = 5 USD\n    income:b\n", 2, {"amount": [ONLY_A_BALANCE]}),
        (LEG + "  1,23.45,6 USD\n    income:b\n", 2, {"amount": ["Not an amount: 1,23.45,6."]}),
        (LEG + "  1,2,3 USD\n    income:b\n", 2, {"amount": ["Not an amount: 1,2,3."]}),
        (LEG + "  1.2.3 USD\n    income:b\n", 2, {"amount": ["Not an amount: 1.2.3."]}),
        (LEG + "  , USD\n    income:b\n", 2, {"amount": ["Not an amount: ,."]}),
        (LEG + "  1,000 USD\n    income:b\n", 2, {"amount": [THOUSANDS]}),
        (LEG + "  (5 USD)\n    income:b\n", 2, {"amount": ["Not an amount: (5 USD)."]}),
        (LEG + "  $5 USD\n    income:b\n", 2, {"amount": ["Not an amount: $5 USD."]}),
        (LEG + "  -$-5\n    income:b\n", 2, {"amount": ["Not an amount: -$-5."]}),
        (LEG + "  5 USD @\n    income:b\n", 2, {"amount": ["Not an amount: ."]}),
        (ENTRY + "    assets:\u00a0a  5 USD\n    income:b\n", 2, {"line": [NO_POSTING]}),
        (LEG + f"  {'9' * 41} USD\n    income:b\n", 2, {"amount": [TOO_LONG]}),
        (ENTRY + "    cash  5 USD\n    income:b\n", 2, {"account": [UNKNOWN]}),
        ("2023-02-29 x\n" + TWO, 1, {"date": ["There is no such day: 2023-02-29."]}),
        ("2/28 x\n" + TWO, 1, {"date": ["The date has no year, and no line before says which: Y2026."]}),
        ("2024-02/28 x\n" + TWO, 1, {"date": ["The numbers of a date are parted by the same sign."]}),
        ("20240228 x\n" + TWO, 1, {"line": [NO_LINE]}),
        ("what is this\n", 1, {"line": [NO_LINE]}),
        ("    assets:a  5 USD\n", 1, {"line": [NO_LINE]}),
        ("i 2024-01-01 09:00:00 work\n", 1, {"line": ["A time entry is no movement of money."]}),
        ('account assets:a  ; cashman-kind:chest, cashman-currency:USD\n', 1, {"account": [KINDS]}),
        ('2024-01-01 x  ; cashman-notes:"\\q"\n' + TWO, 1, {"line": [NOT_JSON]}),
        ("2024-01-01 x  ; cashman-id:5\n" + TWO, 1, {"id": [ULID_RULE]}),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_where_it_stands(text: str, line: int, errors: dict[str, list[str]]) -> None:
    items = read(text + "\n" + ENTRY + TWO)
    assert items[:-1] == [Refused(line, errors)]
    assert isinstance(items[-1], Movement)


HOSTILE = [
    '"', "(", "=", "a:", "2024-01-01 x\n ", "{", "\\", "; ", "a  1 ", "1,", "[", "@", " 000", "cashman-a:,", " ", "\t",
    "1 ", '    ; cashman-a:"b"\n', "t:,", "-",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_what_is_hostile_is_read_to_its_end(piece: str) -> None:
    """Four thousand of them, as many as a line or an entry may have: what recursed would not come back."""
    many = piece * 4_000
    for start in ("    assets:a  1", "    assets:a", "    ", "    ; x ", "account a", "commodity ", "2024-01-02 ", ""):
        items = read(ENTRY + start + many + "!\n\n" + ENTRY + TWO)
        assert isinstance(items[-1], Movement)


def test_what_would_be_repeated_with_every_posting_is_bounded() -> None:
    with pytest.raises(UnreadableFile, match="At most 1000 aliases"):
        read("alias a = b\n" * 1_001 + ENTRY + TWO)
    with pytest.raises(UnreadableFile, match="At most 100 accounts"):
        read("apply account a\n" * 101 + ENTRY + TWO)
    long = "a" * 1_001
    told = {"account": ["At most 100 characters."]}
    assert read(f"account {long}\n") == [Refused(1, told)]
    assert read(ENTRY + f"    {long}  5 USD\n    income:b\n") == [Refused(2, told)]
    assert read("alias a = " + "b" * 600 + ENTRY.join(["\n", f"    a:{'c' * 600}  5 USD\n    income:b\n"]))[1:] == [
        Refused(3, told)
    ]


# What is recognized.


@pytest.mark.parametrize(
    ("head", "yes"),
    [
        ("2020-01-01 * a | b\n    assets:a  5 USD\n    income:b\n", True),
        ("; x\n\n2020/1/1\n  ; said\n\tassets:a\t5\n\tincome:b\n", True),
        ("account assets:a\n", True),
        ("commodity $1,000.00\n", True),
        ("~ monthly\n  a  5\n  b\n", True),
        ('2020-01-01 * "a" "b"\n  Assets:A  5 USD\n', False),
        ("2020-01-01 open Assets:A USD\n", False),
        ("account name,amount\nx,5\n", False),
        ("date,amount\n2020-01-01,5\n", False),
        ("2020-01-01 coffee 5\n2020-01-02 tea 6\n", False),
        ('{"a": 1}', False),
        ("!Type:Bank\nD01/02/2024\nT-5\n^\n", False),
        ("2020-01-01 x\n" + "    ;    \t    x\n" * 3_000, False),
    ],
)
def test_a_file_is_recognized_by_what_only_a_journal_holds(head: str, yes: bool) -> None:
    assert hledger.recognizes(head) is yes


# Out, and in again.


@random_books
@given(books_with_rows())
def test_random_books_come_back_as_they_were(given_books: tuple[Books, list[Booked]]) -> None:
    books, rows = given_books
    text = "".join(hledger.write(books))
    assert hledger.recognizes(text)
    assert not beancount.recognizes(text)
    assert read_again(hledger, text) == expected(books, rows)


@asked_books
@given(books_with_rows())
def test_the_real_hledger_takes_random_books_and_comes_to_the_same_sums(
    program: str, given_books: tuple[Books, list[Booked]]
) -> None:
    books, rows = given_books
    journal = "".join(hledger.write(books))
    ask(program, journal, "check", "--strict")
    called = OutgoingNames(
        books, hledger._clean, lambda name: hledger._KEPT.fullmatch(name) is not None and hledger._clean(name) == name
    )
    by_account, by_category = sums(books, rows)
    wanted = {(called.accounts[name], currency): amount for (name, currency), amount in by_account.items()}
    for (type_, path, currency), amount in by_category.items():
        wanted[called.categories[type_, path], currency] = amount
    found = balances(program, journal)
    for currency in {currency for _, currency in found}:
        found.pop(("Equity:Opening-Balances", currency), None)
    assert found == {key: amount for key, amount in wanted.items() if amount}


def test_hledger_checks_and_adds_up_what_goes_out(program: str) -> None:
    books, _ = written_books()
    journal = "".join(hledger.write(books))
    ask(program, journal, "check", "--strict")
    assert balances(program, journal) == {
        ("Assets:Giro Konto", "EUR"): Decimal("965.50"),
        ("Assets:US:BofA", "USD"): Decimal("100.00"),
        ("Liabilities:card", "JPY"): Decimal("-1500"),
        ("Equity:Opening-Balances", "EUR"): Decimal("-1000.00"),
        ("Equity:Opening-Balances", "JPY"): Decimal("1500"),
        ("Expenses:Food:Eat out", "EUR"): Decimal("24.00"),
        ("Expenses:Food:Eat-out!", "EUR"): Decimal("6.00"),
        ("Expenses:Uncategorized", "EUR"): Decimal("4.50"),
        ("Income:Salary", "EUR"): Decimal("-90.00"),
    }
    assert ask(program, journal, "print", "tag:trip").count("Something") == 1


def test_a_small_sample_reads_to_what_it_says(program: str) -> None:
    text = (SAMPLES / "small.journal").read_text()
    ask(program, text, "check")
    items = read(text)
    kinds = Counter(type(item).__name__ for item in items)
    assert kinds == {"Account": 2, "Movement": 2, "Split": 1, "Transfer": 1, "Skipped": 3}
    assert sum(item.amount for item in items if isinstance(item, Movement)) == Decimal("1950.00")
    [split] = [item for item in items if isinstance(item, Split)]
    assert [(part.category, part.amount) for part in split.movements] == [
        ("food", Decimal("-12.50")),
        ("home", Decimal("-30.00")),
    ]


def test_a_file_in_windows_lines_reads_the_same() -> None:
    text = (SAMPLES / "small.journal").read_text()
    assert read(text.replace("\n", "\r\n")) == read(text)
