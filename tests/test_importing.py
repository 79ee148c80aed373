"""Files against the ledger: what is new, what was imported before, what opens, and what is refused with its line."""

import concurrent.futures
import multiprocessing
import threading
from decimal import Decimal
from typing import Any

import pytest
from filing import another_ledger, coffee, content, imported, outcomes, position, rows, sound, standing

from cashman import bookings, config, db, import_change, importing
from cashman.changes import Target
from cashman.errors import Invalid, UnreadableFile
from cashman.ledger import Books, Ledger
from cashman.model.expense import Expense
from cashman.model.transaction import member_id

ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
OTHER = "01BX5ZZKBKACTAV9WEVGEMMVRY"
NEW = "01BX5ZZKBKACTAV9WEVGEMMVRZ"

STATEMENT = """OFXHEADER:100
<OFX><BANKMSGSRSV1><STMTTRNRS><STMTRS><CURDEF>EUR<BANKACCTFROM><ACCTID>777</BANKACCTFROM><BANKTRANLIST>
{rows}
</BANKTRANLIST></STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>"""


def statement(*movements: tuple[str, str, str]) -> str:
    """A bank's statement of (date, amount, reference)."""
    made = "\n".join(
        f"<STMTTRN><TRNTYPE>DEBIT<DTPOSTED>{day}<TRNAMT>{amount}<FITID>{reference}<NAME>Shop</STMTTRN>"
        for day, amount, reference in movements
    )
    return STATEMENT.format(rows=made)


# What was imported before.


def test_two_equal_coffees_on_one_day_are_two_however_often_they_are_imported(ledger: Ledger) -> None:
    file = rows(coffee(), coffee(), coffee(2))
    assert imported(ledger, file).booked == 3
    before = position(ledger)
    again = imported(ledger, file)
    assert (again.booked, again.skipped, again.refused, again.opened) == (0, 3, 0, {})
    assert {line.reason for line in again.lines} == {"Imported before."}
    assert position(ledger) == before
    assert len(standing(ledger)) == 3
    sound(ledger)


def test_amounts_that_python_hashes_alike_are_not_equal(ledger: Ledger) -> None:
    assert hash(Decimal(-1)) == hash(Decimal(-2))
    one, two = coffee(), coffee()
    one["amount"], two["amount"] = -1, -2
    assert imported(ledger, rows(one, two)).booked == 2
    assert imported(ledger, rows(two)).booked == 0


def test_a_reference_that_comes_back_with_another_amount_is_refused_and_with_another_day_skipped(
    ledger: Ledger,
) -> None:
    imported(ledger, statement(("20260101", "-5.00", "R1")), "ofx")
    assert imported(ledger, statement(("20260103", "-5.00", "R1")), "ofx").skipped == 1
    outcome = imported(ledger, statement(("20260101", "-6.00", "R1"), ("20260101", "-1.00", "R2")), "ofx")
    assert [list(line.errors or ()) for line in outcome.lines] == [["reference"]]
    assert len(standing(ledger)) == 1
    (id_,) = standing(ledger)
    ledger.replace(Target(id_), {"amount": Decimal(9)})  # whoever corrects it is not asked again
    assert imported(ledger, statement(("20260101", "-5.00", "R1")), "ofx").skipped == 1


def test_what_looks_alike_is_imported_once(ledger: Ledger) -> None:
    composed, parts = coffee(), coffee()
    composed["description"], parts["description"] = "Caf\u00e9", "Cafe\u0301"
    assert imported(ledger, rows(composed)).booked == 1
    assert imported(ledger, rows(parts)).skipped == 1


def test_of_a_file_that_overlaps_only_what_is_new_is_booked(ledger: Ledger) -> None:
    imported(ledger, rows(coffee(1), coffee(1), coffee(2)))
    second = imported(ledger, rows(coffee(1), coffee(1), coffee(2), coffee(2), coffee(3)))
    assert outcomes(second) == [(1, "skipped"), (2, "skipped"), (3, "skipped")]
    assert second.booked == 2
    assert sorted(one["date"] for one in standing(ledger).values()) == [
        "2026-01-01", "2026-01-01", "2026-01-02", "2026-01-02", "2026-01-03",
    ]  # fmt: skip


def test_the_order_of_a_file_does_not_matter(ledger: Ledger) -> None:
    imported(ledger, rows(coffee(1), coffee(2), coffee(1), coffee(2, -4)))
    assert imported(ledger, rows(coffee(2, -4), coffee(2), coffee(1), coffee(1))).booked == 0


def test_an_amount_that_is_written_otherwise_is_the_same(ledger: Ledger) -> None:
    assert imported(ledger, '[{"date":"2026-01-01","amount":-3.50,"description":"tea"}]').booked == 1
    assert imported(ledger, '[{"date":"2026-01-01","amount":-35e-1,"description":"tea"}]').booked == 0
    assert imported(ledger, '[{"date":"2026-01-01","amount":"-3.5","description":"tea"}]').booked == 0


@pytest.mark.parametrize("file", ["statement", "rows"])
def test_what_happened_to_a_transaction_stays_so_after_a_second_import(ledger: Ledger, file: str) -> None:
    names = ("void", "edited", "redacted", "left")
    data = (
        statement(*(("20260101", f"-{number}.00", name) for number, name in enumerate(names, 1)))
        if file == "statement"
        else rows(*(coffee(1, -number, name, account="777", currency="EUR") for number, name in enumerate(names, 1)))
    )
    assert imported(ledger, data).booked == 4
    ids = {int(-float(one["amount"])): id_ for id_, one in standing(ledger).items()}
    ledger.void(Target(ids[1]))
    ledger.replace(Target(ids[2]), {"amount": Decimal(99), "description": "changed", "category": "Food"})
    ledger.redact(Target(ids[3]))
    before, where = content(ledger), position(ledger)
    assert ids[1] not in before["transactions"]
    again = imported(ledger, data)
    assert (again.booked, again.skipped, again.refused) == (0, 4, 0)
    assert (content(ledger), position(ledger)) == (before, where)
    sound(ledger)


def test_a_renamed_account_is_known_by_the_name_that_the_bank_goes_on_to_use(ledger: Ledger) -> None:
    imported(ledger, statement(("20260101", "-1.00", "a")))
    account = ledger.chart()[0].account("777")
    ledger.replace_account(account["id"], {"name": "Savings"})
    second = imported(ledger, statement(("20260101", "-1.00", "a"), ("20260102", "-2.00", "b")))
    assert (second.booked, second.skipped, second.opened) == (1, 1, {})
    assert {one["account"] for one in standing(ledger).values()} == {"Savings"}
    assert imported(ledger, statement(("20260102", "-2.00", "b")), account="Savings").booked == 0
    sound(ledger)


def test_a_new_account_of_a_former_name_takes_what_names_it(ledger: Ledger) -> None:
    imported(ledger, rows(coffee(account="Card")))
    ledger.replace_account(ledger.chart()[0].account("Card")["id"], {"name": "Old card"})
    ledger.open_account({"name": "Card", "currency": "USD"})
    assert imported(ledger, rows(coffee(2, account="Card"))).booked == 1
    assert sorted(one["account"] for one in standing(ledger).values()) == ["Card", "Old card"]


def test_an_account_that_was_renamed_is_neither_opened_again_nor_taken_for_another_currency(ledger: Ledger) -> None:
    imported(ledger, statement(("20260101", "-1.00", "a")))
    ledger.replace_account(ledger.chart()[0].account("777")["id"], {"name": "Savings"})
    wrong = imported(ledger, rows(coffee(account="777", currency="CHF")))
    assert wrong.errors() == {1: {"currency": ["The account Savings is in EUR."]}}


def test_a_bank_that_changes_the_date_of_a_reference_books_nothing_twice(ledger: Ledger) -> None:
    imported(ledger, statement(("20260101", "-1.00", "a")))
    again = imported(ledger, statement(("20260103", "-1.00", "a")))
    assert (again.booked, again.skipped) == (0, 1)
    assert [one["date"] for one in standing(ledger).values()] == ["2026-01-01"]


def test_one_reference_is_another_movement_in_another_account(ledger: Ledger) -> None:
    imported(ledger, rows(coffee(reference="7")))
    assert imported(ledger, rows(coffee(reference="7", account="Card"))).booked == 1
    assert imported(ledger, rows(coffee(9, -9, reference="7"))).booked == 0


def test_what_was_imported_before_is_skipped_also_on_closed_days_and_closed_accounts(ledger: Ledger) -> None:
    file = rows(coffee(1, account="Card"), coffee(2, account="Card"))
    imported(ledger, file)
    ledger.replace_account(ledger.chart()[0].account("Card")["id"], {"closed": True})
    again = imported(ledger, file)
    assert (again.skipped, again.refused) == (2, 0)
    ledger.close_until(ledger.today)
    again = imported(ledger, file)
    assert (again.skipped, again.refused) == (2, 0)
    sound(ledger)


def test_a_pending_transaction_that_has_expired_meanwhile_is_skipped(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = rows(coffee(status="pending", expires_at="2999-01-01T00:00:00Z"))
    assert imported(ledger, file).booked == 1
    (id_,) = standing(ledger)
    ledger.void(Target(id_))
    monkeypatch.setattr("cashman.journal.Chain.now", lambda chain: chain.recorded_at.replace(year=3000))
    again = imported(ledger, file)
    assert (again.booked, again.skipped, again.refused) == (0, 1, 0)


# Previews, and parts.


def told(outcome: import_change.Outcome) -> Any:
    return (
        outcome.booked, outcome.skipped, outcome.refused, outcome.opened, outcome.sums,
        [(line.line, line.reason, line.errors) for line in outcome.lines if line.outcome != "booked"],
    )  # fmt: skip


def test_a_preview_books_nothing_and_tells_what_the_import_does(ledger: Ledger) -> None:
    imported(ledger, rows(coffee(1)))
    move = {"type": "TRANSFER", "group": ULID, "date": "2026-01-05", "description": "move"}
    file = rows(
        coffee(1),
        coffee(2, category="Food:Coffee", tags=["a"]),
        coffee(3, "12.50", "gift", account="Card", currency="EUR"),
        {**move, "amount": -5},
        {**move, "amount": 5, "account": "Savings"},
    )
    before, where, chart = content(ledger), position(ledger), ledger.chart()[0]
    preview = imported(ledger, file, preview=True)
    assert (content(ledger), position(ledger), ledger.chart()[0]) == (before, where, chart)
    result = imported(ledger, file)
    assert told(result) == told(preview)
    assert (result.booked, result.opened) == (4, {"Card": "EUR", "Savings": "USD"})
    assert result.sums == {"USD": -300, "EUR": 1250}
    shown = [state for line in preview.lines if line.outcome == "booked" for state in line.states]
    stored = standing(ledger)
    assert {state["id"] for state in shown} == stored.keys() - before["transactions"].keys()
    for state in shown:
        assert (state["description"], state["minor_units"]) == (
            stored[state["id"]]["description"],
            int(Decimal(stored[state["id"]]["amount"]) * 100),
        )
    sound(ledger)


def test_a_preview_tells_what_is_refused_without_refusing(ledger: Ledger) -> None:
    preview = imported(ledger, rows(coffee(1), coffee(2, "1.234")), preview=True)
    assert outcomes(preview) == [(1, "booked"), (2, "refused")]
    assert standing(ledger) == {}


def test_every_bad_line_is_told_at_once_and_nothing_is_booked(ledger: Ledger) -> None:
    before = position(ledger)
    outcome = imported(
        ledger,
        rows(
            coffee(1), coffee(2, "1,5"), coffee(31, -1), {**coffee(3), "date": "2026-02-30"}, coffee(4, "0.001"),
            coffee(5, 0), coffee(6, "9" * 30), coffee(7, currency="EUR"), coffee(8, currency="XYZ"),
            coffee(9, description="x" * 501), coffee(10, tags=["a", "a"]), coffee(11, category=":"),
            coffee(12, status="void"), coffee(13, expires_at="2999-01-01T00:00:00Z"), coffee(14, id="x"),
        ),
    )  # fmt: skip
    assert {line: [*errors] for line, errors in outcome.errors().items()} == {
        2: ["amount"], 4: ["date"], 5: ["amount"], 6: ["amount"], 7: ["amount"], 8: ["currency"], 9: ["currency"],
        10: ["description"], 11: ["tags"], 12: ["category"], 13: ["status"], 14: ["expires_at"], 15: ["id"],
    }  # fmt: skip
    assert outcome.refused == 13
    assert position(ledger) == before
    assert standing(ledger) == {}


def test_of_what_is_partly_good_the_good_part_is_booked_where_that_is_asked_for(ledger: Ledger) -> None:
    file = rows(coffee(1), coffee(2, "0.001"), coffee(3, account="Card"))
    outcome = imported(ledger, file, partial=True)
    assert (outcome.booked, outcome.refused, outcome.opened) == (2, 1, {"Card": "USD"})
    assert len(standing(ledger)) == 2
    assert imported(ledger, rows(coffee(1), coffee(2, "-0.01"), coffee(3, account="Card")), partial=True).booked == 1
    sound(ledger)


def test_errors_of_one_line_are_told_together(ledger: Ledger) -> None:
    file = b'{"accounts": [{"name": " "}, {"name": "x", "currency": "?"}], "transactions": [{"amount": 1}]}'
    outcome = imported(ledger, file)
    assert outcome.refused == 3
    assert outcome.errors()[1].keys() == {"name", "currency", "date"}


def test_no_more_than_so_many_lines_are_told(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_change, "IMPORT_FAULTS_MAX", 3)
    outcome = imported(ledger, rows(*(coffee(1, "0.001") for _ in range(9)), *(coffee(2) for _ in range(9))))
    assert (outcome.refused, len(outcome.errors())) == (9, 3)
    preview = imported(ledger, rows(*(coffee(2) for _ in range(9))), preview=True)
    assert (preview.booked, len(preview.lines)) == (9, 3)


# What opens.


def test_a_file_moves_the_head_by_its_entries_and_no_more(ledger: Ledger) -> None:
    before = position(ledger)
    imported(ledger, rows(coffee(1, category="A"), coffee(2, category="A:B"), coffee(3, account="Card"), coffee(4)))
    assert position(ledger) == before + 4 + 2 + 1


def test_accounts_open_in_the_currency_that_the_file_names(ledger: Ledger) -> None:
    outcome = imported(
        ledger,
        rows(
            coffee(1, account="unsaid"), coffee(1, -300, account="late"),
            coffee(2, -300, account="late", currency="JPY"), coffee(3, account="Card", currency="CHF"),
        ),
    )  # fmt: skip
    assert outcome.opened == {"unsaid": "USD", "late": "JPY", "Card": "CHF"}
    assert {one["account"]: one["currency"] for one in standing(ledger).values()} == outcome.opened


def test_what_names_no_account_goes_where_is_asked_for(ledger: Ledger) -> None:
    imported(ledger, rows(coffee(1), coffee(2, account="Card")), account="Wallet")
    assert {one["account"] for one in standing(ledger).values()} == {"Wallet", "Card"}


def of_accounts(*accounts: dict[str, Any], transactions: bytes = b"[]") -> bytes:
    return rows({"accounts": accounts})[1:-2] + b', "transactions": ' + transactions + b"}"


def test_accounts_come_as_the_file_describes_them_and_closed_ones_are_closed_after_it(ledger: Ledger) -> None:
    described = {
        "name": "Loan", "currency": "EUR", "kind": "loan", "opening_balance": "-100.50", "opening_date": "2025-12-31",
        "closed": True,
    }  # fmt: skip
    file = of_accounts(described, transactions=rows(coffee(account="Loan"), coffee(2, account="Loan")))
    assert imported(ledger, file).booked == 2
    assert content(ledger)["accounts"]["Loan"] == described
    again = imported(ledger, file)
    assert (again.booked, again.skipped, again.refused) == (0, 2, 0)
    assert imported(ledger, rows(coffee(9, account="Loan"))).errors() == {
        1: {"account": ["The account Loan is closed."]}
    }
    sound(ledger)


def test_an_untouched_account_takes_what_the_file_says_and_a_used_one_keeps_what_it_has(ledger: Ledger) -> None:
    main = {"name": "main", "kind": "bank", "opening_balance": 7, "opening_date": "2025-01-01"}
    assert imported(ledger, of_accounts(main)).skipped == 0
    assert content(ledger)["accounts"]["main"] == {
        **main, "currency": "USD", "opening_balance": "7.00", "closed": False,
    }  # fmt: skip
    where = position(ledger)
    assert imported(ledger, of_accounts(main)).skipped == 0
    assert position(ledger) == where
    other = imported(ledger, of_accounts({**main, "opening_balance": 8, "kind": "cash"}))
    assert (other.skipped, other.lines[0].reason) == (
        1,
        "The account is there already, and keeps its opening balance.",
    )
    assert position(ledger) == where
    sound(ledger)


def test_a_file_cannot_close_the_main_account_or_one_that_was_there(ledger: Ledger) -> None:
    ledger.open_account({"name": "Card", "currency": "USD"})
    imported(ledger, of_accounts({"name": "main", "closed": True}, {"name": "Card", "closed": True}))
    assert {account["closed"] for account in content(ledger)["accounts"].values()} == {False}
    sound(ledger)


def test_an_account_of_another_currency_and_an_opening_balance_that_does_not_fit_are_refused(ledger: Ledger) -> None:
    outcome = imported(
        ledger,
        of_accounts(
            {"name": "main", "currency": "EUR"},
            {"name": "yen", "currency": "JPY", "opening_balance": "0.5"},
            {"name": "odd", "kind": "pocket"},
        ),
    )
    assert outcome.errors() == {
        1: {
            "currency": ["The account main is in USD."],
            "account": ["JPY has 0 decimals, and nothing is rounded."],
            "kind": ["Not one of cash, bank, card, savings, loan, investment, other."],
        }
    }
    assert content(ledger)["accounts"].keys() == {"main"}


# What is refused by the ledger, with its line.


def test_closed_days_closed_accounts_and_foreign_currencies_are_refused_with_their_lines(ledger: Ledger) -> None:
    ledger.open_account({"name": "Card", "currency": "EUR"})
    ledger.replace_account(ledger.chart()[0].account("Card")["id"], {"closed": True})
    ledger.close_until(ledger.today.replace(year=2026, month=1, day=10))
    before = position(ledger)
    outcome = imported(
        ledger,
        rows(
            coffee(20), coffee(10), coffee(21, account="Card"), coffee(22, currency="EUR"), coffee(23, "0.005"),
            coffee(24, status="pending", expires_at="2001-01-01T00:00:00Z"),
        ),
    )  # fmt: skip
    assert outcome.errors() == {
        2: {"date": ["The books are closed until 2026-01-10."]},
        3: {"account": ["The account Card is closed."]},
        4: {"currency": ["The account main is in USD."]},
        5: {"amount": ["USD has 2 decimals, and nothing is rounded."]},
        6: {"expires_at": ["Has to be in the future."]},
    }
    assert position(ledger) == before
    assert imported(ledger, rows(coffee(20), coffee(10)), partial=True).booked == 1
    late = of_accounts({"name": "Late", "opening_balance": 1, "opening_date": "2026-01-09"})
    assert imported(ledger, late).errors() == {1: {"account": ["The books are closed until 2026-01-10."]}}
    sound(ledger)


def test_turnovers_past_64_bits_are_refused_with_their_lines(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cashman.batch.INT64_MAX", 1000)
    outcome = imported(ledger, rows(coffee(1, -6), coffee(2, 5), coffee(3, -4), coffee(4, -1)))
    assert [*outcome.errors()] == [2, 4]
    assert outcome.errors()[2] == {"amount": ["The totals of this currency would pass 64 bits of minor units."]}
    assert standing(ledger) == {}
    assert imported(ledger, rows(coffee(1, -6), coffee(2, 5), coffee(3, -4)), partial=True).booked == 2
    sound(ledger)


def test_more_categories_than_there_may_be_are_refused_with_their_lines(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("import_change", "batch"):
        monkeypatch.setattr(f"cashman.{module}.CATEGORIES_MAX", 2)
    file = rows(*(coffee(number, category=name) for number, name in enumerate("ABACB", 1)), coffee(6))
    outcome = imported(ledger, file)
    assert outcome.errors() == {4: {"category": ["A ledger has at most 2 categories."]}}
    assert imported(ledger, file, partial=True).booked == 5
    assert imported(ledger, rows(coffee(7, category="A"), coffee(8, category="D"))).errors().keys() == {2}
    sound(ledger)


def test_more_accounts_than_there_may_be_are_refused_with_their_lines(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cashman.batch.ACCOUNTS_MAX", 2)
    outcome = imported(ledger, rows(coffee(1, account="A"), coffee(2, account="B"), coffee(3, account="B")))
    assert outcome.errors() == {
        2: {"account": ["A ledger has at most 2 accounts.", "The account could not be opened."]},
        3: {"account": ["The account could not be opened."]},
    }
    assert content(ledger)["accounts"].keys() == {"main"}


# Groups, and ids that a file chooses.


def leg(amount: Any, account: str = "main", **fields: Any) -> dict[str, Any]:
    return {
        "type": "TRANSFER", "group": ULID, "date": "2026-01-05", "description": "move", "amount": amount,
        "account": account, **fields,
    }  # fmt: skip


def part(amount: Any, category: str, **fields: Any) -> dict[str, Any]:
    return {"group": OTHER, "date": "2026-01-05", "description": "market", "amount": amount, "category": category} | (
        fields
    )


def test_a_transfer_and_a_receipt_of_a_file_are_what_they_would_be_if_they_were_posted(ledger: Ledger) -> None:
    imported(ledger, rows(leg(-5), leg(5, "Savings"), part(-1, "A"), part(-2, "B")))
    assert {(one["id"], one["group"]) for one in standing(ledger).values()} == {
        (member_id(group, place), group) for group in (ULID, OTHER) for place in (0, 1)
    }
    transfer, chart = ledger.get(ULID)
    assert [(chart.accounts[state["account_id"]]["name"], state["minor_units"]) for state in transfer] == [
        ("main", -500), ("Savings", 500),
    ]  # fmt: skip
    assert len(ledger.get(OTHER)[0]) == 2
    assert len(ledger.history(member_id(ULID, 1))[0]) == 1
    sound(ledger)


@pytest.mark.parametrize(
    ("documents", "field"),
    [
        ([leg(-5)], "group"),
        ([leg(-5), leg(5)], "account"),
        ([leg(-5), leg(-5, "Savings")], "group"),
        ([leg(-5), leg(6, "Savings")], "amount"),
        ([leg(-5), leg(5, "Savings", status="pending")], "status"),
        ([leg(-5), leg(5, "Savings", date="2026-01-06")], "group"),
        ([leg(-5), leg(5, "Savings"), part(-1, "A", group=ULID)], "group"),
        ([leg(-5, group="x"), leg(5, "Savings", group="x")], "group"),
        ([leg(-5, group="\0"), leg(5, "Savings", group="\0")], "group"),
        ([leg(-5, group="8" + ULID[1:]), leg(5, "Savings", group="8" + ULID[1:])], "group"),
        ([leg(-5, id=OTHER), leg(5, "Savings", id=NEW)], "group"),
        ([leg(-5, id=member_id(ULID, 1)), leg(5, "Savings", id=ULID)], "group"),
        ([part(-1, "A"), part(1, "B")], "amount"),
        ([part(-1, "A"), part(-1, "B", account="Card")], "line"),
        ([part(-1, "A"), part(-1, "B", status="pending")], "status"),
        ([part(-1, "A"), coffee(6), part(-1, "B", id=NEW, date="2026-01-06")], "group"),
        ([part(-1, "A", group="é" * 26)], "group"),
        ([part(-1, "A") for _ in range(101)], "line"),
    ],
)
def test_a_group_that_is_none_is_refused_whole(ledger: Ledger, documents: list[Any], field: str) -> None:
    before = position(ledger)
    outcome = imported(ledger, rows(*documents))
    assert outcome.refused >= 1
    assert field in {name for errors in outcome.errors().values() for name in errors}
    assert position(ledger) == before
    imported(ledger, rows(*documents, coffee()), partial=True)
    sound(ledger)


def test_a_group_that_is_there_never_grows(ledger: Ledger) -> None:
    imported(ledger, rows(leg(-5), leg(5, "Savings"), part(-1, "A"), part(-2, "B")))
    before = content(ledger)
    for group, new in ((ULID, NEW), (OTHER, NEW)):
        outcome = imported(ledger, rows({**part(-3, "C"), "group": group, "id": new}))
        assert outcome.errors() == {1: {"group": ["Others were booked together under this group."]}}
    moved = imported(ledger, rows(leg(-7, id=NEW), leg(7, "Savings", id=OTHER[:-1] + "0")))
    assert moved.errors() == {1: {"group": ["Others were booked together under this group."]}}
    assert content(ledger) == before
    sound(ledger)


def test_an_id_that_is_taken_is_skipped_whatever_else_the_file_says_of_it(ledger: Ledger) -> None:
    other = another_ledger(ledger.books)
    imported(ledger, rows(part(-1, "A"), part(-2, "B"), coffee(id=ULID)))
    before = content(ledger)
    outcome = imported(
        ledger,
        rows(coffee(9, -99, id=ULID), coffee(9, -99, id=member_id(OTHER, 1)), coffee(9, id=NEW), coffee(8, id=NEW)),
    )
    assert outcomes(outcome) == [(1, "skipped"), (2, "skipped"), (4, "skipped")]
    assert {line.reason for line in outcome.lines} == {"A transaction with this id is there already."}
    assert content(ledger)["transactions"].keys() == before["transactions"].keys() | {NEW}
    assert imported(other, rows(coffee(id=ULID))).booked == 1
    sound(ledger)


def test_a_receipt_that_repeats_an_id_is_not_booked_in_half(ledger: Ledger) -> None:
    outcome = imported(ledger, rows(part(-1, "A", id=NEW), part(-2, "B", id=NEW)))
    assert (outcome.booked, standing(ledger)) == (0, {})


# Alone and in company.


def test_two_imports_of_one_file_at_once_book_it_once(ledger: Ledger) -> None:
    file = rows(*(coffee(1 + number % 28, -1 - number % 3, account="Card") for number in range(200)))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: imported(ledger, file), range(4)))
    assert sorted(outcome.booked for outcome in found) == [0, 0, 0, 200]
    assert len(standing(ledger)) == 200
    sound(ledger)


def _import_elsewhere(database_url: str, file: bytes) -> int:
    books = Books(db.connect(config.load({"CASHMAN_DATABASE_URL": database_url}).database_url))
    try:
        return imported(books.own_ledger(), file).booked
    finally:
        books.database.close()


def test_two_processes_that_import_one_file_at_once_book_it_once(database_url: str, ledger: Ledger) -> None:
    file = rows(*(coffee(1 + number % 28, account="Card") for number in range(200)))
    with concurrent.futures.ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(_import_elsewhere, [database_url] * 3, [file] * 3))
    assert sorted(found) == [0, 0, 200]
    assert len(standing(ledger)) == 200
    sound(ledger)


def test_who_reads_meanwhile_sees_all_of_a_file_or_nothing(ledger: Ledger) -> None:
    file = rows(*(coffee(1 + number % 28, account="Card", category=f"C{number % 9}") for number in range(2_000)))
    seen, is_done = set(), threading.Event()

    def look() -> None:
        while not is_done.is_set():
            seen.add(len(standing(ledger)))

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        looking = pool.submit(look)
        try:
            imported(ledger, file)
        finally:
            is_done.set()
        looking.result()
    seen.add(len(standing(ledger)))
    assert seen <= {0, 2_000}
    assert 2_000 in seen


def test_others_write_while_a_file_is_imported(ledger: Ledger) -> None:
    file = rows(*(coffee(1 + number % 28, account="Card") for number in range(1_000)))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        others = [pool.submit(ledger.record, Expense(f"pizza {number}", 5)) for number in range(30)]
        assert pool.submit(imported, ledger, file).result().booked == 1_000
        others += [pool.submit(ledger.record, Expense(f"more {number}", 5)) for number in range(30)]
        for other in others:
            other.result()
    assert len(standing(ledger)) == 1_060
    sound(ledger)


def test_an_import_that_fails_in_the_middle_leaves_nothing(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    before = position(ledger)

    def fail(*_: Any) -> None:
        raise RuntimeError("the disk has gone")

    with monkeypatch.context() as patch:
        patch.setattr("cashman.search.store", fail)
        with pytest.raises(RuntimeError):
            imported(ledger, rows(coffee(account="Card", category="Food")))
    assert (position(ledger), standing(ledger)) == (before, {})
    assert ledger.chart()[0].account_ids.keys() == {"main"}
    assert imported(ledger, rows(coffee(account="Card", category="Food"))).booked == 1
    sound(ledger)


# In chunks.


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bookings, "IMPORT_ROWS_MAX", 50)
    monkeypatch.setattr(importing, "IMPORT_CHUNK_ROWS", 20)


CARD = {
    "name": "Card", "currency": "USD", "kind": "card", "opening_balance": "1.00", "opening_date": "2025-01-01",
    "closed": True,
}  # fmt: skip


def long_file(*more: dict[str, Any]) -> bytes:
    movements = [coffee(1 + number % 28, -1 - number % 2, account="Card", category="Food") for number in range(90)]
    return of_accounts(CARD, transactions=rows(*movements, *more))


@pytest.mark.usefixtures("small_chunks")
def test_a_long_file_is_imported_in_chunks_and_comes_to_the_same_as_one_commit(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[int] = []
    outcome = imported(ledger, long_file(), in_chunks=True, progress=done.append)
    assert (outcome.booked, outcome.opened, sum(done) >= 90, len(done)) == (90, {"Card": "USD"}, True, 5)
    assert content(ledger)["accounts"]["Card"] == CARD
    whole = another_ledger(ledger.books)
    with monkeypatch.context() as patch:
        patch.setattr(bookings, "IMPORT_ROWS_MAX", 50_000)
        assert imported(whole, long_file()).sums == outcome.sums
    left, right = content(ledger), content(whole)
    assert left["accounts"] == right["accounts"]
    # The ids differ in what they are made of: each ledger has accounts of its own.
    assert sorted(str(row | {"id": None}) for row in left["transactions"].values()) == sorted(
        str(row | {"id": None}) for row in right["transactions"].values()
    )
    again = imported(ledger, long_file(), in_chunks=True)
    assert (again.booked, again.skipped, again.refused) == (0, 90, 0)
    sound(ledger)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("after", [1, 3, 5])
def test_who_imports_again_goes_on_where_a_long_file_broke_off(ledger: Ledger, after: int) -> None:
    done: list[int] = []

    def interrupted(count: int) -> None:
        done.append(count)
        if len(done) == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imported(ledger, long_file(), in_chunks=True, progress=interrupted)
    booked = len(standing(ledger))
    assert 0 < booked <= 20 * after
    sound(ledger)
    outcome = imported(ledger, long_file(), in_chunks=True)
    assert (outcome.booked, outcome.skipped) == (90 - booked, booked)
    assert len(standing(ledger)) == 90
    assert content(ledger)["accounts"]["Card"] == CARD
    sound(ledger)


@pytest.mark.usefixtures("small_chunks")
def test_a_long_file_with_a_bad_line_at_its_end_books_nothing(ledger: Ledger) -> None:
    before = position(ledger)
    outcome = imported(ledger, long_file(coffee(1, "1,5")), in_chunks=True)
    assert (outcome.booked, [*outcome.errors()]) == (0, [91])
    assert position(ledger) == before
    partial = imported(ledger, long_file(coffee(1, "1,5")), in_chunks=True, partial=True)
    assert (partial.booked, partial.refused) == (90, 1)
    sound(ledger)


@pytest.mark.usefixtures("small_chunks")
def test_equal_rows_far_apart_are_told_apart_in_chunks_too(ledger: Ledger) -> None:
    file = rows(*(coffee(1 + number % 2) for number in range(90)))
    assert imported(ledger, file, in_chunks=True).booked == 90
    assert imported(ledger, file, in_chunks=True).booked == 0
    ordered = rows(*(coffee(1 + number // 45, -4) for number in range(90)))
    assert imported(ledger, ordered, in_chunks=True).booked == 90
    assert imported(ledger, ordered, in_chunks=True).booked == 0
    assert (
        imported(ledger, rows(*(coffee(1 + number // 45, -4) for number in range(89, -1, -1))), in_chunks=True).booked
        == 0
    )


@pytest.mark.usefixtures("small_chunks")
def test_a_long_file_that_is_not_to_be_taken_in_chunks_is_refused(ledger: Ledger) -> None:
    with pytest.raises(Invalid) as raised:
        imported(ledger, long_file())
    assert "command line" in str(raised.value.errors)
    assert standing(ledger) == {}


@pytest.mark.usefixtures("small_chunks")
def test_a_preview_of_a_long_file_books_nothing(ledger: Ledger) -> None:
    before = position(ledger)
    assert imported(ledger, long_file(), in_chunks=True, preview=True).booked == 90
    assert position(ledger) == before


# The rest.


def test_a_file_of_no_format_is_unreadable_and_one_of_the_wrong_format_too(ledger: Ledger) -> None:
    with pytest.raises(UnreadableFile):
        imported(ledger, "hello, world")
    with pytest.raises(UnreadableFile):
        imported(ledger, "hello, world", "json")


def test_the_same_file_goes_into_each_ledger(ledger: Ledger, books: Books) -> None:
    other = another_ledger(books, "EUR")
    assert imported(ledger, rows(coffee())).sums == {"USD": -300}
    assert imported(other, rows(coffee())).sums == {"EUR": -300}


def test_what_has_no_words_is_called_after_what_it_has(ledger: Ledger) -> None:
    imported(
        ledger,
        rows(
            {"date": "2026-01-01", "amount": 1, "payee": "Luigi"},
            {"date": "2026-01-02", "amount": 1, "category": "Food:Pizza"},
            {"date": "2026-01-03", "amount": 1},
        ),
    )
    assert sorted(one["description"] for one in standing(ledger).values()) == ["Imported", "Luigi", "Pizza"]


def test_one_reference_for_two_amounts_of_one_file_is_refused(ledger: Ledger) -> None:
    csv = "id,date,amount,description\n7,2026-01-01,-5.00,tea\n7,2026-01-02,-6.00,milk\n"
    with_two = imported(ledger, csv)
    assert [(line.line, list(line.errors or ())) for line in with_two.lines] == [(3, ["reference"])]
    assert imported(ledger, csv.replace("-6.00", "-5.00")).skipped == 1
