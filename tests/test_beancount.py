"""Beancount's files, in and out, with the real Beancount beside them."""

import csv
import io
import os
import shutil
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from conftest import missing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_plain_text import books_with_rows, expected, items_in, plain, read_again, sums, written_books

from cashman.errors import UnreadableFile
from cashman.formats import beancount
from cashman.formats.entries import BadLine
from cashman.formats.expressions import evaluate
from cashman.formats.records import Account, Booked, Books, Item, Movement, Refused, Skipped, Split, Transfer

SHARED = Path(os.environ.get("CASHMAN_TEST_SHARED", Path(__file__).parents[2] / "shared")) / "data"
SAMPLES = Path(__file__).parent / "data" / "import"
random_books = settings(
    derandomize=True,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def loader() -> Any:
    """The real Beancount."""
    try:
        from beancount import loader
    except ImportError:
        missing("Beancount")
    return loader


def script(name: str) -> str:
    """A program of Beancount's, beside the Python that runs this."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        missing(name)
    assert found is not None
    return found


def read(text: str | bytes) -> list[Item]:
    return items_in(beancount, text)


def one(text: str) -> Item:
    """The only item of a text."""
    [item] = read(text)
    return item


def movements_in(items: list[Item]) -> list[Movement]:
    """Every movement, those of splits too; transfers not."""
    parts = [part for item in items for part in (item.movements if isinstance(item, Split) else [item])]
    return [part for part in parts if isinstance(part, Movement)]


ULID_RULE = "Not a ULID: 26 characters of Crockford's base 32, in capitals."
TOO_LONG = "Not an amount, or longer than any amount."
TWO = "  Assets:A  5 USD\n  Income:B\n"

ENTRY = '2024-02-29 * "Kin Soy" "Eating out"\n'


# What entries mean.


def test_a_leg_of_money_and_one_of_an_expense_are_an_expense() -> None:
    item = one(ENTRY + "  Liabilities:Card  -50.00 USD\n  Expenses:Food:Restaurant  50.00 USD\n")
    assert isinstance(item, Movement)
    assert (str(item.date), item.amount, item.currency) == ("2024-02-29", Decimal("-50.00"), "USD")
    assert (item.account, item.category) == ("Liabilities:Card", "Food:Restaurant")
    assert (item.payee, item.description, item.line) == ("Kin Soy", "Eating out", 1)


@pytest.mark.parametrize(
    ("legs", "amount"),
    [
        ("  Assets:A  5 USD\n  Expenses:Food  -5 USD\n", "5"),
        ("  Expenses:Food\n  Assets:A  5 USD\n", "5"),
        ("  Assets:A\n  Income:Salary  -1,234.50 USD\n", "1234.50"),
        ("  Assets:A  -(40.00/4 + 5) * 2 USD\n  Expenses:Food\n", "-30.00"),
        ("  Assets:A  -1.005 USD\n  Expenses:Food  1.00 USD\n", "-1.005"),
        ("  ! Assets:A  -7. USD ; a comment\n  ; another\n\n; and one\n  Expenses:Food  7 USD\n", "-7"),
        ("  Assets:A  -55.00 USD\n  Expenses:Food  50.00 EUR @ 1.10 USD\n", "-55.00"),
        ("  Assets:A  -3 USD\n  Assets:A  -4 USD\n  Expenses:Food  7 USD\n", "-7"),
        ("  Assets:A  -3--4 USD\n  Expenses:Food  -1 USD\n", "1"),
    ],
)
def test_the_sign_is_that_of_the_money(legs: str, amount: str) -> None:
    item = one(ENTRY + legs)
    assert isinstance(item, Movement), item
    assert str(item.amount) == amount
    assert item.currency == "USD"


def test_two_legs_of_money_are_a_transfer() -> None:
    item = one(ENTRY + "  Assets:B  90.00 EUR\n  Assets:A  -100.00 USD @@ 90.00 EUR\n")
    assert isinstance(item, Transfer)
    assert (item.out.account, item.out.amount, item.out.currency) == ("Assets:A", Decimal("-100.00"), "USD")
    assert (item.into.account, item.into.amount, item.into.currency) == ("Assets:B", Decimal("90.00"), "EUR")


def test_several_categories_are_a_split_and_each_sign_is_one_of_its_own() -> None:
    item = one(ENTRY + "  Assets:A  -12 USD\n  Expenses:Food  5 USD\n  Expenses:Home  7 USD\n")
    assert isinstance(item, Split)
    assert [(part.category, part.amount) for part in item.movements] == [("Food", Decimal(-5)), ("Home", Decimal(-7))]
    items = read(
        ENTRY + "  Assets:A  70 USD\n  Income:Salary  -100 USD\n  Expenses:Tax  20 USD\n  Expenses:Health  10 USD\n"
        "  Expenses:Nothing  0 USD\n"
    )
    assert len(items) == 3
    found = {type(item).__name__: item for item in items}
    assert plain([found["Movement"]])[0][1]["amount"] == Decimal(100)
    assert [part.amount for part in found["Split"].movements] == [Decimal(-20), Decimal(-10)]  # type: ignore[union-attr]
    assert found["Skipped"] == Skipped(6, "Zero is not a movement of money.")


def test_opening_balances_are_those_of_the_accounts() -> None:
    items = read(
        "2020-01-01 open Assets:A USD\n2020-01-01 open Assets:B\n"
        '2020-01-02 * "Start"\n  Assets:A  10 USD\n  Assets:B  -5 EUR @@ 6 USD\n  Equity:Opening-Balances\n'
        '2020-01-03 * "Once more"\n  Assets:A  1 USD\n  Equity:Opening-Balances  -1 USD\n'
        '2020-01-03 * "No account is open"\n  Assets:C  1 USD\n  Equity:Opening-Balances  -1 USD\n'
    )
    opened = [item for item in items if isinstance(item, Account)]
    assert [(one.name, one.currency, one.opening_balance, str(one.opening_date)) for one in opened] == [
        ("Assets:A", "USD", Decimal(10), "2020-01-02"),
        ("Assets:B", "EUR", Decimal(-5), "2020-01-02"),
        ("Assets:C", "USD", Decimal(1), "2020-01-03"),
    ]
    assert items[2:3] == [Skipped(8, "Only the first opening balance of Assets:A counts.")]
    assert len(items) == 4


def test_tags_links_metadata_and_pushed_tags_are_kept() -> None:
    item = one(
        'pushtag #trip\n2024-01-01 ! "With\nlines" #a ^link\n  #b\n  place: "Rome"\n  number: 5\n  Assets:A  -1 USD\n'
        '    note: "on the leg"\n  Expenses:Food\npoptag #trip\n'
    )
    assert isinstance(item, Movement)
    assert (item.description, item.tags, item.status) == ("With lines", ["a", "b", "trip"], "posted")
    assert item.notes == "^link\nplace: Rome\non the leg"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("  Assets:A  5 VACHR\n  Income:Vacation  -5 VACHR\n", "VACHR is no currency of ISO 4217."),
        ("  Assets:A  5 ITOT {2.00 USD}\n  Assets:B  -10.00 USD\n", "ITOT is no currency of ISO 4217."),
        ("  Assets:A  5 EUR {2.00 USD}\n  Assets:B  -10.00 USD\n", "Lots (what was held at a cost) are not kept here."),
        ("  Income:A  5 USD\n  Expenses:B  -5 USD\n", "No account of money takes part."),
        ("  Assets:A  5 USD\n  Equity:Earnings  -5 USD\n", "Equity is neither an account of money nor a category."),
        ("  Assets:A  0 USD\n  Expenses:B  0 USD\n", "Zero is not a movement of money."),
        ("  Assets:A  0 USD\n  Assets:B  0 USD\n", "Zero is not a movement of money."),
        ("  Assets:A  5 USD @@ 4 EUR\n  Assets:A  -4 EUR\n", "Within one account no money moves."),
        (
            "  Assets:A  5 USD\n  Assets:B  -4 USD\n  Expenses:C  -1 USD\n",
            "Several accounts of money and categories: who paid what is not said.",
        ),
        (
            "  Assets:A  5 USD\n  Assets:B  -4 USD\n  Assets:C  -1 USD\n",
            "More than two accounts of money: what went where is not said.",
        ),
        (
            "  Assets:A  -5 USD @@ 4 EUR\n  Expenses:B  1 EUR\n  Expenses:C  3 EUR\n",
            "Several categories in several currencies.",
        ),
        ("", "The transaction has no postings."),
    ],
)
def test_what_is_no_movement_of_money_is_skipped_with_the_reason(text: str, reason: str) -> None:
    assert one(ENTRY + text) == Skipped(1, reason)


def test_a_leg_that_comes_to_nothing_hides_no_other() -> None:
    transfer, zero = read(ENTRY + "  Assets:A  -5 USD\n  Assets:B  5 USD\n  Expenses:Fee  0 USD\n")
    assert isinstance(transfer, Transfer)
    assert zero == Skipped(4, "Zero is not a movement of money.")


def test_what_balances_only_nearly_is_not_made_to() -> None:
    legs = "  Assets:A  -10.00 USD\n  Expenses:F  3.333 USD\n  Expenses:G  6.666 USD\n"
    assert one(ENTRY + legs) == Skipped(1, "The parts do not add up exactly to what Assets:A moves by.")
    legs = "  Assets:A  -10.00 USD\n  Assets:B  10.001 USD\n"
    told = "What goes out of one account and what comes into the other differ."
    assert one(ENTRY + legs) == Skipped(1, told)


def test_of_a_purchase_of_shares_the_fee_is_booked_and_the_rest_skipped() -> None:
    items = read(
        ENTRY
        + "  Assets:Cash  -108.95 USD\n  Assets:Shares  10 VHT {10.00 USD, 2024-01-01}\n  Expenses:Fees  8.95 USD\n"
    )
    assert isinstance(items[0], Movement)
    assert (items[0].amount, items[0].category) == (Decimal("-8.95"), "Fees")
    assert items[1:] == [Skipped(3, "VHT is no currency of ISO 4217.")]
    items = read(
        ENTRY + "  Assets:Cash  100 USD\n  Assets:Shares  -10 VHT {}\n  Expenses:Fees  1 USD\n  Income:Gains\n"
    )
    assert isinstance(items[0], Movement)
    assert items[1:] == [Skipped(3, "VHT is no currency of ISO 4217.")]


def test_directives_are_told_and_neither_run_nor_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trap = tmp_path / "trap_of_a_plugin.py"
    trap.write_text(f"open({str(tmp_path / 'sprung')!r}, 'w').close()\n__plugins__ = []\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    secret = tmp_path / "secret.beancount"
    secret.write_text('2024-01-01 * "secret"\n  Assets:A  1 USD\n  Income:B\n')
    text = f"""plugin "trap_of_a_plugin"
include "{secret}"
include "/etc/passwd"
option "title" "x"
2020-01-01 pad Assets:A Equity:Opening-Balances
2020-01-01 balance Assets:A  5 USD
2020-01-01 close Assets:A
2020-01-01 query "q" "
  select 1
"
* A heading
; a comment
pushmeta a: "b"
2020-01-01 open Assets:Shares VHT
2020-01-01 open Expenses:Food USD
"""
    opened: list[str] = []
    real = open
    monkeypatch.setattr("builtins.open", lambda *given, **named: opened.append(str(given[0])) or real(*given, **named))
    items = read(text)
    assert opened == []
    assert not (tmp_path / "sprung").exists()
    assert all(isinstance(item, Skipped) for item in items)
    assert [(item.line, item.reason) for item in items if isinstance(item, Skipped)] == [
        (1, "A plugin is a program, and is not run."),
        (2, "This is another file, and is not read: import it, too."),
        (3, "This is another file, and is not read: import it, too."),
        (4, "option: no movement of money."),
        (5, "pad is not followed: what it adds to the account is missing here."),
        (6, "balance: no movement of money."),
        (7, "close: no movement of money."),
        (8, "query: no movement of money."),
        (14, "VHT is no currency of ISO 4217."),
    ]


def test_the_real_beancount_springs_the_trap_and_opens_the_include(loader: Any, tmp_path: Path) -> None:
    (tmp_path / "trap_that_springs.py").write_text(
        f"open({str(tmp_path / 'sprung')!r}, 'w').close()\n__plugins__ = []\n"
    )
    secret = tmp_path / "secret.beancount"
    secret.write_text(
        '2024-01-01 open Assets:A\n2024-01-01 open Income:B\n2024-01-01 * "secret"\n  Assets:A  1 USD\n  Income:B\n'
    )
    sys.path.insert(0, str(tmp_path))
    try:
        entries, _, _ = loader.load_string(f'plugin "trap_that_springs"\ninclude "{secret}"\n')
    finally:
        sys.path.remove(str(tmp_path))
    assert (tmp_path / "sprung").exists()
    assert len(entries) == 3


def test_roots_that_are_called_otherwise_are_followed() -> None:
    items = read(
        'option "name_assets" "Vermoegen"\noption "name_expenses" "Ausgaben"\noption "name_equity" "Eigenkapital"\n'
        '2024-01-01 * "Miete"\n  Vermoegen:Giro  -5 EUR\n  Ausgaben:Miete  5 EUR\n'
        '2024-01-01 * "Anfang"\n  Vermoegen:Giro  5 EUR\n  Eigenkapital:Opening-Balances  -5 EUR\n'
    )
    assert isinstance(items[3], Movement)
    assert items[3].category == "Miete"
    assert isinstance(items[4], Account)
    assert items[4].opening_balance == Decimal(5)


def test_what_is_odd_and_yet_beancount_s_is_read() -> None:
    items = read(
        "  ; indented, below nothing\npoptag #never-pushed\n"
        'option "name_unknown" "x"\n'
        '2020-01-01 open Assets:A USD "STRICT" ; said\n'
        '2020-01-02 * "Nothing to open with"\n  Assets:A  0 USD\n  Equity:Opening-Balances\n'
        '2020-01-02 note Assets:A "Equity"\n  of: "Equity:Opening"\n'
        '2020-01-02 * "Opening without amounts"\n  Assets:A  what\n  Equity:Opening-Balances\n'
        '2020-01-02 * "a \\"quoted\\" one" ^link #tag\n  Assets:A  -5 USD @ 1.00000\n  Expenses:F  5 USD\n'
    )
    assert items == [
        Skipped(3, "option: no movement of money."),
        Account(line=4, name="Assets:A", currency="USD"),
        Skipped(5, "Zero is not a movement of money."),
        Skipped(8, "note: no movement of money."),
        Refused(10 + 1, {"amount": ["Not an amount: what."]}),
        Skipped(13, "Lots (what was held at a cost) are not kept here."),
    ]


@pytest.mark.parametrize(("fee", "amount"), [("  Assets:A  -0.01 USD\n", "-13.33"), ("", "-13.3333000")])
def test_what_balances_a_price_is_fitted_to_the_other_amounts_as_beancount_does(
    loader: Any, fee: str, amount: str
) -> None:
    text = "".join(f"2000-01-01 open Assets:{name}\n" for name in "AE") + ENTRY + fee
    text += "  Assets:E  10.00 EUR @ 1.33333 USD\n  Assets:A\n"
    transfer = one(text)
    assert isinstance(transfer, Transfer)
    assert str(transfer.out.amount) == amount
    entries, _, _ = loader.load_string(text)
    assert beancount_sums(entries)[0]["Assets:A", "USD"] == Decimal(amount)


def test_a_leg_may_name_its_currency_and_no_number() -> None:
    item = one(ENTRY + "  Assets:A  -5 USD\n  Expenses:F  USD\n")
    assert isinstance(item, Movement)
    assert item.amount == -5
    [refused] = read(ENTRY + "  Assets:A  -5 USD\n  Expenses:F  EUR\n")
    assert refused == Refused(3, {"amount": ["The transaction does not balance: -5 USD are left."]})


# Bad input.


@pytest.mark.parametrize(
    ("legs", "line", "errors"),
    [
        (
            "  Assets:A  -5 USD\n  Expenses:B  4 USD\n", 1,
            {"amount": ["The transaction does not balance: -1 USD are left."]},
        ),
        ("  Assets:A\n  Expenses:B\n", 3, {"amount": ["Only one posting may leave its amount out."]}),
        ("  Assets:A  40.00/3 USD\n  Expenses:B\n", 2, {"amount": ["This has no exact amount: 40.00/3."]}),
        ("  Assets:A  4/0 USD\n  Expenses:B\n", 2, {"amount": ["This has no exact amount: 4/0."]}),
        ("  Assets:A  (4 USD\n  Expenses:B\n", 2, {"amount": ["Not an amount: (4."]}),
        ("  Assets:A  4) USD\n  Expenses:B\n", 2, {"amount": ["Not an amount: 4)."]}),
        ("  Assets:A  4 4 USD\n  Expenses:B\n", 2, {"amount": ["Not an amount: 4 4."]}),
        ("  Assets:A  4 (4) USD\n  Expenses:B\n", 2, {"amount": ["Not an amount: 4 (4)."]}),
        ("  Assets:A  *4 USD\n  Expenses:B\n", 2, {"amount": ["Not an amount: *4."]}),
        ("  Assets:A  4* USD\n  Expenses:B\n", 2, {"amount": ["Not an amount: 4*."]}),
        ("  Assets:A  () USD\n  Expenses:B\n", 2, {"amount": ["Not an amount: ()."]}),
        ("  Assets:A  1.2.3 USD\n  Expenses:B\n", 2, {"amount": ["Not an amount: 1.2.3."]}),
        ("  Assets:A  1,5.3,4 USD\n  Expenses:B\n", 2, {"amount": ["Not an amount: 1,5.3,4."]}),
        ("  Assets:A  5\n  Expenses:B\n", 2, {"currency": ["A number needs a currency."]}),
        ("  Assets:A  5 usd\n  Expenses:B\n", 2, {"amount": ["Not an amount: 5 usd."]}),
        ("  Assets:A  5 X {1 USD\n  Expenses:B\n", 2, {"amount": ["A cost is not closed."]}),
        (
            "  Cash:A  5 USD\n  Expenses:B\n", 2,
            {"account": ["Cash:A is none of assets, liabilities, equity, income and expenses."]},
        ),
        ("  what is this\n", 2, {"line": ["This is neither a posting nor metadata."]}),
        (
            "  Assets:A  5 USD @@ 4 EUR\n  Assets:B  4 EUR\n", 1,
            {"amount": ["The transaction does not balance: 8 EUR are left."]},
        ),
        ('  cashman-id: "x"\n' + TWO, 1, {"id": [ULID_RULE]}),
        ('  cashman-group: "x"\n' + TWO, 1, {"id": [ULID_RULE]}),
        ('  cashman-status: "x"\n' + TWO, 1, {"status": ["Not one of posted, pending."]}),
        ('  cashman-tags: "x"\n' + TWO, 1, {"tags": ["Not a JSON array of strings."]}),
        (
            '  cashman-expires-at: "2024-01-01"\n' + TWO, 1,
            {"expires_at": ["Not a date and time with an offset: 2024-01-01."]},
        ),
        (
            '  cashman-expires-at: "soon"\n' + TWO, 1,
            {"expires_at": ["Not a date and time with an offset: soon."]},
        ),
        ("  cashman-id: 5\n" + TWO, 2, {"line": ["What stands behind cashman-id has to be a string."]}),
        ("  Assets:A  " + "9" * 41 + " USD\n  Income:B\n", 2, {"amount": [TOO_LONG]}),
        ("  Assets:A  " + "(" * 40_000 + "1" + ")" * 40_000 + " USD\n  Income:B\n", 2, {"amount": [TOO_LONG]}),
        ("  Assets:A  " + "9" * 40 + "*9" * 150 + " USD\n  Income:B\n", 2, {"amount": [TOO_LONG]}),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_where_it_stands(legs: str, line: int, errors: dict[str, list[str]]) -> None:
    assert read(ENTRY + legs) == [Refused(line, errors)]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('2023-02-29 * "x"\n  Assets:A  5 USD\n  Income:B\n', "date"),
        ("2023-02-29 open Assets:A\n", "date"),
        ("2023-02-28 open assets\n", "account"),
        ("2023-02-28 open Cash:A\n", "account"),
        ("2023-02-28 open Assets:A usd\n", "currency"),
        ('2023-02-28 open Assets:A USD\n  cashman-kind: "chest"\n', "account"),
        ("what is this\n", "line"),
        ("2023-02-28 opens Assets:A\n", "line"),
        ("  Assets:A  5 USD\n", "line"),
        ('2023-02-28 * "a" "b" "c"\n  Assets:A  5 USD\n  Income:B\n', "line"),
        ('2023-02-28 * "a" b\n  Assets:A  5 USD\n  Income:B\n', "line"),
    ],
)
def test_a_bad_line_is_refused_and_the_rest_is_read(text: str, field: str) -> None:
    items = read(text + ENTRY + "  Assets:A  -5 USD\n  Expenses:B\n")
    assert isinstance(items[0], Refused)
    assert list(items[0].errors) == [field]
    assert isinstance(items[-1], Movement)


@pytest.mark.parametrize(
    "text",
    [
        '2023-02-28 * "breaks off',
        '2023-02-28 * "a"\n  notes: "breaks\noff\n',
        '2023-02-28 * "a' + "\n" * 1_100 + '"\n',
        '2023-02-28 * "a\\"\n',
    ],
)
def test_a_string_that_is_not_closed_is_no_file(text: str) -> None:
    with pytest.raises(UnreadableFile, match="A string begins here that is not closed") as caught:
        read(ENTRY + "  Assets:A  -5 USD\n  Expenses:B\n" + text)
    assert list(caught.value.errors) == [5 if "notes" in text else 4]


def test_quotes_in_comments_and_escapes_in_strings_end_no_string() -> None:
    items = read(
        '2024-01-01 * "a \\"b\\" \\\\" ; "\n  Assets:A  -5 USD ; "\n  Expenses:B\n; "\n2024-01-02 * "c;d\\qe" ; say "\n'
        "  Assets:A  -5 USD\n  Expenses:B\n"
    )
    assert [item.description for item in items if isinstance(item, Movement)] == ['a "b" \\', "c;dqe"]


HOSTILE = [
    '"',
    "(",
    "#",
    "a:",
    "A:",
    '2024-01-01 * "x"\n ',
    "{",
    "\\",
    "; ",
    "Assets:A ",
    "USD",
    " ",
    "1 +",
    '  cashman-x: "y"\n',
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_what_is_hostile_is_read_to_its_end(piece: str) -> None:
    """Forty thousand of them: what took the square of that, or recursed, would not come back."""
    many = piece * 40_000
    for start in ("  Assets:A  1", "  Assets:A", "  ", "2024-01-01 open Assets:A ", "2024-01-01 open ", ""):
        text = ENTRY + start + many + "!\n2024-01-01 open Assets:Last USD\n"
        try:
            items = read(text)
        except UnreadableFile:
            continue
        assert len(items) < 40_010


def test_what_would_be_repeated_with_every_entry_is_bounded() -> None:
    items = read("".join(f"pushtag #a{number}\n" for number in range(30)) + ENTRY + TWO)
    assert items[:-1] == [Refused(21 + n, {"tags": ["Longer than maximum length 20."]}) for n in range(10)]
    assert isinstance(items[-1], Movement)
    assert len(items[-1].tags) == 20
    [refused] = read(ENTRY + f"  Assets:{'A' * 1_000}  5 USD\n  Income:B\n")
    assert refused == Refused(2, {"account": ["At most 100 characters."]})
    [refused] = read(f"2024-01-01 open Assets:{'A' * 1_000}\n")
    assert refused == Refused(1, {"account": ["At most 100 characters."]})


def test_expressions_are_worked_out_exactly() -> None:
    for text, value in {
        "1+2*3": "7",
        "(1+2)*3": "9",
        "-(1-2)": "1",
        "8/4/2": "1",
        "2--3": "5",
        "+.5": "0.5",
        "1,000-1": "999",
    }.items():
        assert evaluate(1, text) == Decimal(value), text
    with pytest.raises(BadLine):
        evaluate(1, "")


# Anybody's entries, beside what Beancount makes of them.

numbers = st.one_of(
    st.integers(-500, 500).map(str),
    st.decimals(-999, 999, places=2).map(str),
    st.sampled_from(["(1+2)*3", "10.00/4.00*1.00", "-(5)", "2*3.50-1", "1,234.50", "+7", "8.", "--3"]),
)
legs = st.tuples(
    st.sampled_from(
        ["Assets:A", "Assets:B", "Liabilities:C", "Income:X", "Expenses:F", "Expenses:G", "Equity:Opening-Balances"]
    ),
    st.one_of(st.none(), numbers),
    st.sampled_from(["USD", "USD", "EUR", "VACHR"]),
    st.sampled_from(["", "", "", " @ 2 USD", " @@ 5 EUR", "  ; said", " {2 USD}"]),
)


@settings(random_books, max_examples=150)
@given(st.lists(legs, min_size=1, max_size=3), legs)
def test_what_beancount_takes_is_booked_to_the_same_sums_or_skipped(loader: Any, others: list[Any], last: Any) -> None:
    names = sorted({account for account, *_ in [*others, last]})
    text = "".join(f"2000-01-01 open {name}\n" for name in names) + ENTRY + f"  {last[0]}\n"
    for account, number, currency, more in others:
        text += f"  {account}\n" if number is None else f"  {account}  {number} {currency}{more}\n"
    entries, errors, _ = loader.load_string(text)
    items = read(text)
    if errors:
        return  # what it refuses need not be refused here: that a lot was never bought, for instance
    assert not any(isinstance(item, Refused) for item in items)
    if any(isinstance(item, Skipped) for item in items):
        return
    wanted = {(name, code): round(amount, 12) for (name, code), amount in beancount_sums(entries)[0].items()}
    booked: Counter[Any] = Counter()
    for item in items:
        if isinstance(item, Account) and item.opening_balance is not None:
            booked[item.name, item.currency] += item.opening_balance
        for part in (item.out, item.into) if isinstance(item, Transfer) else movements_in([item]):
            booked[part.account, part.currency] += part.amount
    assert {key: amount for key, amount in booked.items() if amount} == {k: v for k, v in wanted.items() if v}


# What is recognized.


@pytest.mark.parametrize(
    ("head", "yes"),
    [
        ('option "title" "x"\n', True),
        ("2020-01-01 open Assets:A USD\n", True),
        ('; x\n\n2020-01-01 * "a" "b" #t\n  k: "v"\n  Assets:A  5 USD\n', True),
        ("2020-01-01 price VHT  5 USD\n", True),
        ("2020-01-01 * a | b\n    assets:a  5 USD\n    income:b\n", False),
        ('2020-01-01 * "q"\n    assets:a  5 USD\n    income:b\n', False),
        ("2020-01-01 open shop\n    Assets:A  5\n    Income:b\n", False),
        ("account Assets:A\n", False),
        ("date,amount\n2020-01-01,5\n", False),
        ('{"a": 1}', False),
        ('2020-01-01 * "q"\n' + "    \t    x\n" * 3_000, False),
    ],
)
def test_a_file_is_recognized_by_what_only_beancount_writes(head: str, yes: bool) -> None:
    assert beancount.recognizes(head) is yes


# Out, and in again.


@random_books
@given(books_with_rows())
def test_random_books_come_back_as_they_were(given_books: tuple[Books, list[Booked]]) -> None:
    books, rows = given_books
    text = "".join(beancount.write(books))
    assert beancount.recognizes(text)
    assert read_again(beancount, text) == expected(books, rows)


@random_books
@given(books_with_rows())
def test_the_real_beancount_takes_random_books_and_comes_to_the_same_sums(
    loader: Any, given_books: tuple[Books, list[Booked]]
) -> None:
    books, rows = given_books
    entries, errors, _ = loader.load_string("".join(beancount.write(books)))
    assert [error.message for error in errors] == []
    assert beancount_sums(entries) == sums(books, rows)


def beancount_sums(entries: list[Any]) -> tuple[dict[Any, Decimal], dict[Any, Decimal]]:
    """What Beancount has by account and category, by what it keeps of their names."""
    opened = {entry.account: entry.meta for entry in entries if type(entry).__name__ == "Open"}
    by_account: dict[Any, Decimal] = {}
    by_category: dict[Any, Decimal] = {}
    for entry in entries:
        for posting in getattr(entry, "postings", ()):
            root, _, rest = posting.account.partition(":")
            meta, units = opened[posting.account], posting.units
            if root in ("Assets", "Liabilities"):
                key = (meta.get("cashman-name", posting.account), units.currency)
                by_account[key] = by_account.get(key, Decimal(0)) + units.number
            elif root in ("Income", "Expenses"):
                type_ = "INCOME" if root == "Income" else "EXPENSE"
                place = (type_, meta.get("cashman-category", rest) or None, units.currency)
                by_category[place] = by_category.get(place, Decimal(0)) + units.number
    return by_account, by_category


def test_bean_check_and_bean_query_agree_with_what_goes_out(tmp_path: Path) -> None:
    books, _ = written_books()
    path = tmp_path / "out.beancount"
    path.write_text("".join(beancount.write(books)))
    checked = subprocess.run([script("bean-check"), path], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    query = "SELECT account, currency, sum(number) AS total GROUP BY account, currency"
    asked = subprocess.run([script("bean-query"), "-f", "csv", path, query], capture_output=True, text=True, check=True)
    answer = {
        (row["account"].strip(), row["currency"].strip()): Decimal(row["total"].strip())
        for row in csv.DictReader(io.StringIO(asked.stdout))
    }
    assert answer == {
        ("Assets:Giro-Konto", "EUR"): Decimal("965.50"),
        ("Assets:US:BofA", "USD"): Decimal("100.00"),
        ("Liabilities:Card", "JPY"): Decimal("-1500"),
        ("Equity:Opening-Balances", "EUR"): Decimal("-1000.00"),
        ("Equity:Opening-Balances", "JPY"): Decimal("1500"),
        ("Expenses:Food:Eat-out", "EUR"): Decimal("24.00"),
        ("Expenses:Food:Eat-out-2", "EUR"): Decimal("6.00"),
        ("Expenses:Uncategorized", "EUR"): Decimal("4.50"),
        ("Income:Salary", "EUR"): Decimal("-90.00"),
    }


# A household's books.


@pytest.fixture(scope="module")
def example() -> Path:
    """Three years of a household, from Beancount's examples."""
    path = SHARED / "example.beancount"
    if not path.exists():
        missing("the household's books, whose folder CASHMAN_TEST_SHARED names,")
    return path


def worked_out(entries: list[Any]) -> tuple[Counter[Any], Counter[str]]:
    """What Beancount's own parse comes to by the rules: movements, and what else there is by its kind."""
    movements: Counter[Any] = Counter()
    kinds: Counter[str] = Counter()
    for entry in entries:
        if type(entry).__name__ == "Transaction":
            kind = of_transaction(entry, movements)
            kinds.update(kind)
    return movements, kinds


def of_transaction(entry: Any, movements: Counter[Any]) -> list[str]:
    dollars = [posting for posting in entry.postings if posting.units.currency == "USD" and posting.cost is None]
    strange = [posting.units.currency for posting in entry.postings if posting not in dollars][:1]
    legs = [posting for posting in dollars if posting.account.startswith(("Assets:", "Liabilities:"))]
    parts = [posting for posting in dollars if posting.account.startswith(("Income:", "Expenses:"))]
    if any(posting.account.startswith("Equity:") for posting in dollars):
        return ["opening"]
    if len(legs) > 1:
        return ["several"] if parts else ["transfer"]
    if not parts:
        return strange
    for part in parts:
        if part.units.number:
            category, described = part.account.partition(":")[2], " ".join((entry.narration or "").split())
            row = (str(entry.date), -part.units.number, legs[0].account, category, entry.payee, described)
            movements[row] += 1
    return strange + ["zero" for part in parts if not part.units.number]


def test_three_years_of_a_household_come_out_as_beancount_has_them(loader: Any, example: Path) -> None:
    entries, errors, _ = loader.load_file(str(example))
    assert errors == []
    movements, reasons = worked_out(entries)
    items = read(example.read_bytes())
    booked = movements_in(items)
    assert [item for item in items if isinstance(item, Refused)] == []
    found = Counter(
        (str(one.date), one.amount, one.account, one.category, one.payee, one.description) for one in booked
    )
    assert found == movements
    assert (len(booked), sum(isinstance(item, Split) for item in items)) == (1_243, 75)
    assert sum(isinstance(item, Transfer) for item in items) == reasons.pop("transfer") == 48
    assert reasons.pop("opening") == 1
    told = Counter(item.reason for item in items if isinstance(item, Skipped))
    directives = Counter(type(entry).__name__.lower() for entry in entries)
    expected_reasons = {
        **{
            f"{name}: no movement of money.": directives[name]
            for name in ("price", "balance", "commodity", "event", "query")
        },
        "option: no movement of money.": 2,
        "Several accounts of money and categories: who paid what is not said.": reasons.pop("several"),
        "Zero is not a movement of money.": reasons.pop("zero"),
    }
    for entry in entries:  # an account of shares, or of hours of vacation
        currencies = getattr(entry, "currencies", None)
        if currencies and currencies != ["USD"] and entry.account.startswith("Assets:"):
            reasons[currencies[0]] += 1
    expected_reasons |= {f"{commodity} is no currency of ISO 4217.": count for commodity, count in reasons.items()}
    assert told == expected_reasons
    assert told["Several accounts of money and categories: who paid what is not said."] == 45


def test_every_row_of_the_flattened_household_comes_out(example: Path) -> None:
    with (SHARED / "household.csv").open(newline="", encoding="utf-8") as file:
        rows = Counter(
            (
                row["date"],
                Decimal(row["amount"]),
                row["account"],
                row["category"],
                row["payee"],
                row["description"].strip(),
            )
            for row in csv.DictReader(file)
        )
    assert rows.total() == 843
    found: Counter[Any] = Counter()
    for one in movements_in(read(example.read_bytes())):
        described = one.description or one.payee or ""
        found[str(one.date), one.amount, one.account, one.category, one.payee or "", described] += 1
    assert rows - found == Counter()
    more = Counter(":".join(str(row[3]).split(":")[:3]) for row in (found - rows).elements())
    # What the flattening left out: payslips of one account, and sales at a loss.
    assert more.pop("US:ETrade:Gains") == 7
    assert sum(more.values()) == 393
    assert more["US:Hoogle:Salary"] == 33
    opened = [item for item in read(example.read_bytes()) if isinstance(item, Account)]
    assert [(one.name, one.opening_balance) for one in opened] == [
        ("Assets:US:BofA:Checking", Decimal("3219.17")),
        ("Liabilities:US:Chase:Slate", None),
        ("Assets:US:ETrade:Cash", None),
        ("Assets:US:Vanguard", None),
        ("Assets:US:Vanguard:Cash", None),
    ]


@pytest.mark.parametrize("name", ["small.beancount"])
def test_a_small_sample_reads_to_what_it_says(name: str) -> None:
    items = read((SAMPLES / name).read_bytes())
    kinds = Counter(type(item).__name__ for item in items)
    assert kinds == {"Account": 2, "Movement": 2, "Split": 1, "Transfer": 1, "Skipped": 3}
    assert sum(item.amount for item in items if isinstance(item, Movement)) == Decimal("1950.00")
