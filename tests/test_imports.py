"""Import over HTTP: what is answered, what is refused, and that nothing a client sends breaks the service."""

import io
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from filing import coffee, content, position, rows, sound, standing
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from people import another, first_user, nobody
from werkzeug.test import TestResponse

from cashman import bookings, current, imports
from cashman.formats import IMPORTS
from cashman.ledger import Ledger
from cashman.limits import IMPORT_BYTES_MAX, IMPORT_ROWS_MAX

SEMICOLONS = "Wann;Wieviel;Wofür\n31.01.2026;-1.234,50;Miete\n01.02.2026;2.000,00;Lohn\n"
MAPPING = {"columns": {"date": "Wann", "amount": "Wieviel", "description": "Wofür"}}


def send(client: FlaskClient, data: bytes | str, path: str = "/import", **options: Any) -> TestResponse:
    return client.post(path, data=data, **options)


def form(client: FlaskClient, path: str = "/import", **parts: Any) -> TestResponse:
    return client.post(path, data=parts, content_type="multipart/form-data")


def refusal(answer: TestResponse) -> Any:
    assert answer.status_code == 422, answer.text
    assert answer.mimetype == "application/problem+json"
    return answer.json["errors"]


# What is answered.


def test_the_answer_tells_what_was_booked_opened_and_skipped(client: FlaskClient, ledger: Ledger) -> None:
    file = rows(
        coffee(1), coffee(2, "12.50", account="Card", currency="EUR"), coffee(3, -300, account="Yen", currency="JPY")
    )
    answer = send(client, file)
    assert answer.status_code == 200
    assert json.loads(answer.data, parse_float=str, parse_int=str) == {
        "format": "json", "encoding": "utf-8", "preview": False, "booked": "3", "skipped": "0", "refused": "0",
        "accounts": [{"name": "Card", "currency": "EUR"}, {"name": "Yen", "currency": "JPY"}],
        "sums": {"EUR": "12.50", "JPY": "-300", "USD": "-3.00"}, "lines": [],
    }  # fmt: skip
    again = send(client, file).json
    assert (again["booked"], again["skipped"], again["accounts"], again["sums"]) == (0, 3, [], {})
    assert again["lines"] == [{"line": line, "outcome": "skipped", "reason": "Imported before."} for line in (1, 2, 3)]
    sound(ledger)


def test_a_preview_shows_the_transactions_as_they_would_be_and_books_nothing(
    client: FlaskClient, ledger: Ledger
) -> None:
    before = position(ledger)
    answer = send(client, rows(coffee(1, category="Food"), coffee(2, "1.234")), "/import?preview=true")
    assert (answer.status_code, answer.json["preview"], answer.json["booked"], answer.json["refused"]) == (
        200,
        True,
        1,
        1,
    )
    booked, refused = answer.json["lines"]
    (shown,) = booked["transactions"]
    assert (shown["category"], shown["amount"], shown["account"], shown["type"]) == ("Food", -3, "main", "EXPENSE")
    assert refused == {
        "line": 2, "outcome": "refused", "errors": {"amount": ["USD has 2 decimals, and nothing is rounded."]},
    }  # fmt: skip
    assert position(ledger) == before
    assert client.get("/accounts").json[0]["name"] == "main"
    sent = send(client, rows(coffee(1, category="Food")))
    assert sent.json["booked"] == 1
    assert client.get(f"/expenses/{shown['id']}").json["description"] == "coffee"


def test_bad_lines_are_told_by_number_and_the_good_ones_are_booked_where_that_is_asked_for(
    client: FlaskClient, ledger: Ledger
) -> None:
    file = rows(coffee(1), coffee(2, "x"), {**coffee(3), "date": "2026-02-30"})
    errors = refusal(send(client, file))
    assert errors == {
        "2": {"amount": ["Not an amount."]},
        "3": {"date": ["Not a date of the calendar, written YYYY-MM-DD."]},
    }
    assert standing(ledger) == {}
    answer = send(client, file, "/import?partial=true")
    assert (answer.status_code, answer.json["booked"], answer.json["refused"]) == (200, 1, 2)
    assert [line["line"] for line in answer.json["lines"]] == [2, 3]


def test_reasons_are_told_in_the_language_that_is_asked_for(client: FlaskClient) -> None:
    file = rows(coffee(1), coffee(2, currency="EUR"), coffee(3, tags=["x" * 51]))
    answer = send(client, file, headers={"Accept-Language": "de"})
    assert answer.headers["Content-Language"] == "de"
    english = send(client, file).json["errors"]
    german = answer.json["errors"]
    assert english.keys() == german.keys() == {"2", "3"}
    assert english["2"] != german["2"]
    assert english["3"] != german["3"]
    send(client, rows(coffee(1)))
    told = send(client, rows(coffee(1)), headers={"Accept-Language": "de"})
    assert told.headers["Content-Language"] == "de"
    assert told.json["lines"][0]["reason"] != "Imported before."
    assert "Accept-Language" in told.headers["Vary"]


@pytest.mark.parametrize("name", sorted(IMPORTS))
def test_each_format_has_its_path_and_refuses_what_is_none_of_it(client: FlaskClient, name: str) -> None:
    answer = send(client, "\u00bfqu\u00e9?".encode(), f"/import/{name}")
    assert answer.status_code == 422
    assert answer.json["type"] in ("/problems/unreadable-file", "/problems/invalid")
    assert send(client, b"", f"/import/{name}").status_code == 422


def test_a_format_that_is_none_is_no_resource(client: FlaskClient) -> None:
    assert send(client, "x", "/import/xls").status_code == 404
    assert client.get("/import").status_code == 405


def test_the_media_type_says_nothing(client: FlaskClient) -> None:
    for place, media_type in enumerate(("text/csv", "application/json", "application/x-ofx", "nonsense"), 1):
        assert send(client, rows(coffee(place)), content_type=media_type).json["booked"] == 1


# Queries, forms and mappings.


@pytest.mark.parametrize(
    "query", ["preview=1", "partial=yes", "x=1", "preview=true&preview=true", "account=%20", "mapping="]
)
def test_a_query_that_is_none_is_refused(client: FlaskClient, query: str) -> None:
    assert send(client, rows(coffee()), f"/import?{query}").status_code == 422


def test_an_import_takes_no_key_because_it_is_done_once_anyway(client: FlaskClient) -> None:
    answer = send(client, rows(coffee()), headers={"Idempotency-Key": "a"})
    assert "Idempotency-Key" in refusal(answer)


def test_an_account_that_is_asked_for_takes_what_names_none(client: FlaskClient, ledger: Ledger) -> None:
    answer = send(client, rows(coffee()), "/import?account=Wallet")
    assert answer.json["accounts"] == [{"name": "Wallet", "currency": "USD"}]
    assert [one["account"] for one in standing(ledger).values()] == ["Wallet"]


def test_a_form_brings_a_file_and_a_mapping(client: FlaskClient, ledger: Ledger) -> None:
    answer = form(client, "/import/csv", file=(io.BytesIO(SEMICOLONS.encode()), "a.csv"), mapping=json.dumps(MAPPING))
    assert answer.status_code == 200, answer.text
    assert (answer.json["booked"], answer.json["sums"]) == (2, {"USD": 765.5})
    assert {one["amount"] for one in standing(ledger).values()} == {"-1234.50", "2000.00"}


def test_a_mapping_may_be_a_file_of_its_own(client: FlaskClient) -> None:
    mapping = (io.BytesIO(json.dumps(MAPPING).encode()), "mapping.json")
    answer = form(client, "/import/csv", mapping=mapping, file=(io.BytesIO(SEMICOLONS.encode()), "a.csv"))
    assert answer.status_code == 200, answer.text
    assert answer.json["booked"] == 2


@pytest.mark.parametrize(
    ("mapping", "status"),
    [("{", 400), ("[]", 422), ('{"separator": "x"}', 422), ('{"colums": {}}', 422), ('{"columns": {"date": 0}}', 422),
     ('{"columns": {"date": 1e999999}}', 422), ("[" * 100_000, 400)],
)  # fmt: skip
def test_a_mapping_that_is_none_is_refused(client: FlaskClient, mapping: str, status: int) -> None:
    answer = form(client, file=(io.BytesIO(SEMICOLONS.encode()), "a.csv"), mapping=mapping)
    assert answer.status_code == status, answer.text


def test_a_form_without_a_file_is_refused(client: FlaskClient) -> None:
    assert refusal(form(client, text="hello")) == {"file": ["The form holds no file."]}
    for content_type in ("multipart/form-data", "multipart/form-data; boundary=\u00e9"):
        assert send(client, "x", content_type=content_type).status_code == 422


def test_a_kept_mapping_is_used_by_its_name(client: FlaskClient) -> None:
    assert client.put("/import/mappings/my bank", json=MAPPING).status_code == 204
    assert send(client, SEMICOLONS.encode(), "/import/csv?mapping=my+bank").json["booked"] == 2
    assert send(client, SEMICOLONS.encode(), "/import/csv?mapping=other").status_code == 404
    both = form(
        client, "/import?mapping=my+bank", file=(io.BytesIO(SEMICOLONS.encode()), "a.csv"), mapping=json.dumps(MAPPING)
    )
    assert refusal(both) == {"mapping": ["Either a kept one, or one that comes with the file."]}


# What is too much.


def test_what_is_too_large_is_refused_before_it_is_read(client: FlaskClient, ledger: Ledger) -> None:
    answer = send(client, b" " * (IMPORT_BYTES_MAX + 1))
    assert (answer.status_code, answer.json["type"]) == (413, "/problems/too-large")
    # By hand: the test client would put so large a form into a file that nobody closes.
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    whole = head + b" " * (IMPORT_BYTES_MAX + 1) + b"\r\n--x--\r\n"
    assert send(client, whole, content_type="multipart/form-data; boundary=x").status_code == 413
    assert standing(ledger) == {}


def test_a_document_elsewhere_may_still_be_no_larger_than_before(client: FlaskClient) -> None:
    send(client, rows(coffee()))
    assert client.post("/expenses", data=b" " * 1_048_577, content_type="application/json").status_code == 413


def test_more_rows_than_a_commit_takes_are_refused_with_the_way_that_takes_them(
    client: FlaskClient, ledger: Ledger
) -> None:
    line = json.dumps(coffee()).encode() + b"\n"
    errors = refusal(send(client, line * (IMPORT_ROWS_MAX + 1), "/import/ndjson"))
    assert errors.keys() == {"file"}
    assert "50000" in errors["file"][0]
    assert "command line" in errors["file"][0]
    assert standing(ledger) == {}


def test_as_many_rows_as_a_commit_takes_are_taken(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bookings, "IMPORT_ROWS_MAX", 10)
    assert send(client, rows(*(coffee() for _ in range(10)))).json["booked"] == 10
    assert send(client, rows(*(coffee() for _ in range(11)))).status_code == 422


def test_a_third_import_at_once_is_told_to_come_again(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, go_on = threading.Semaphore(0), threading.Event()
    real = imports.import_file

    def slow(*args: Any, **options: Any) -> Any:
        entered.release()
        assert go_on.wait(30)
        return real(*args, **options)

    monkeypatch.setattr(imports, "import_file", slow)
    app = client.application
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda day=day: found.append(send(app.test_client(), rows(coffee(day))).status_code))
        for day in (1, 2)
    ]
    try:
        for thread in threads:
            thread.start()
            assert entered.acquire(timeout=30)
        answer = send(client, rows(coffee(3)))
        assert (answer.status_code, answer.json["detail"]) == (503, "Too many imports are under way.")
        assert int(answer.headers["Retry-After"]) > 0
    finally:
        go_on.set()
        for thread in threads:
            thread.join()
    assert found == [200, 200]
    assert send(client, rows(coffee(3))).status_code == 200


def test_a_refused_import_gives_its_place_back(client: FlaskClient) -> None:
    for _ in range(5):
        assert send(client, "nothing").status_code == 422
        assert send(client, rows(coffee(1, "x"))).status_code == 422
        assert send(client, rows(coffee()), "/import?mapping=none").status_code == 404
        assert send(client, rows(coffee()), "/import?x=1").status_code == 422
    assert send(client, rows(coffee())).status_code == 200


# Who may.


def test_viewers_and_keys_that_only_read_may_not_import_nor_look_what_would_happen(
    with_settings: Callable[..., FlaskClient],
) -> None:
    owner = first_user(with_settings(auth="required"))
    viewer, editor = (another(owner, f"{role}@example.com") for role in ("viewer", "editor"))
    for person, role in ((viewer, "viewer"), (editor, "editor")):
        owner.share(owner.ledger, person, role)
    path = f"/ledgers/{owner.ledger}/import"
    for query in ("", "?preview=true"):
        assert viewer.post(path + query, data=rows(coffee())).status_code == 403
        assert owner.key("read").post("/import" + query, data=rows(coffee())).status_code == 403
        assert nobody(owner.client).post("/import" + query, data=rows(coffee())).status_code == 401
    assert editor.post(path, data=rows(coffee(1))).json["booked"] == 1
    assert owner.key("write").post("/import", data=rows(coffee(1))).json["skipped"] == 1
    assert owner.get("/journal").status_code == 200
    assert f"user:{editor.id}" in owner.get("/journal").text
    assert viewer.get(f"/ledgers/{owner.ledger}/export/json").status_code == 200
    assert viewer.put(f"{path}/mappings/a", {}).status_code == 403


def test_a_ledger_that_the_path_names_is_the_one_that_is_filled(with_settings: Callable[..., FlaskClient]) -> None:
    owner = first_user(with_settings(auth="required"))
    other = owner.new_ledger(currency="EUR")
    assert owner.post(f"/ledgers/{other}/import", data=rows(coffee())).json["sums"] == {"EUR": -3}
    assert owner.post(f"/ledgers/{other}/import/json", data=rows(coffee())).json["skipped"] == 1
    assert owner.get("/transactions").json == []
    assert len(owner.get(f"/ledgers/{other}/transactions").json) == 1
    assert owner.put(f"/ledgers/{other}/import/mappings/a", {}).status_code == 204
    assert owner.get("/import/mappings").json == {}


# Hostile input.

HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "blanks": b" \n\t ",
    "a NUL": b'[{"date": "2026-01-01", "amount": 1, "description": "a\0b"}]',
    "a NUL far away": b"date,amount,description\n" + b"2026-01-01,1,x\n" * 10_000 + b"\0",
    "a PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj",
    "a ZIP": b"PK\x03\x04\x14\0\x06\0",
    "random bytes": bytes(range(1, 256)) * 20,
    "one long line": b'[{"date": "2026-01-01", "amount": 1, "description": "' + b"x" * 10_000_000 + b'"}]',
    "one long line of NDJSON": b'{"date": "2026-01-01", "amount": 1, "description": "' + b"x" * 10_000_000 + b'"}',
    "deep": b"[" * 1_000_000,
    "deep, and closed": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep in a member": b'[{"date": ' + b"[" * 50_000 + b"]" * 50_000 + b"}]",
    "a huge exponent": b'[{"date": "2026-01-01", "amount": 1e999999, "description": "x"}]',
    "an exponent past all bounds": b'[{"date": "2026-01-01", "amount": 1e9999999999999999, "description": "x"}]',
    "a tiny number": b'[{"date": "2026-01-01", "amount": 1e-999999, "description": "x"}]',
    "a long number": b'[{"date": "2026-01-01", "amount": ' + b"9" * 100_000 + b', "description": "x"}]',
    "NaN": b'[{"date": "2026-01-01", "amount": NaN, "description": "x"}]',
    "Infinity": b'[{"date": "2026-01-01", "amount": "Infinity", "description": "x"}]',
    "digits of the world": '[{"date": "2026-01-01", "amount": "٣", "description": "x"}]'.encode(),
    "underscores": b'[{"date": "2026-01-01", "amount": "1_000", "description": "x"}]',
    "blanks around": b'[{"date": "2026-01-01", "amount": " 5 ", "description": "x"}]',
    "a week": b'[{"date": "2026-W01-1", "amount": 5, "description": "x"}]',
    "a surrogate": b'[{"date": "2026-01-01", "amount": 1, "description": "\\ud800"}]',
    "a surrogate in an account": b'[{"date": "2026-01-01", "amount": 1, "account": "\\ud800"}]',
    "a surrogate in a category": b'[{"date": "2026-01-01", "amount": 1, "category": "\\udfff"}]',
    "a surrogate in a tag": b'[{"date": "2026-01-01", "amount": 1, "tags": ["\\ud800"]}]',
    "a surrogate in a name": b'[{"date": "2026-01-01", "amount": 1, "\\ud800": 1}]',
    "a surrogate in a group": b'[{"date": "2026-01-01", "amount": 1, "group": "\\ud800"}]',
    "a surrogate in an id": b'[{"date": "2026-01-01", "amount": 1, "id": "\\ud800"}]',
    "a surrogate in a currency": b'[{"date": "2026-01-01", "amount": 1, "currency": "\\ud800"}]',
    "a surrogate in an account's name": b'{"accounts": [{"name": "\\ud800"}], "transactions": []}',
    "an escaped NUL": b'[{"date": "2026-01-01", "amount": 1, "description": "a\\u0000b"}]',
    "an escaped NUL in an account": b'[{"date": "2026-01-01", "amount": 1, "account": "a\\u0000b"}]',
    "an id that is too large": b'[{"date": "2026-01-01", "amount": 1, "id": "8ZZZZZZZZZZZZZZZZZZZZZZZZZ"}]',
    "an id in small letters": b'[{"date": "2026-01-01", "amount": 1, "id": "01arz3ndektsv4rrffq69g5fav"}]',
    "an id with a line end": b'[{"date": "2026-01-01", "amount": 1, "id": "01ARZ3NDEKTSV4RRFFQ69G5FAV\\n"}]',
    "tags as text": b'[{"date": "2026-01-01", "amount": 1, "tags": "a"}]',
    "tags of numbers": b'[{"date": "2026-01-01", "amount": 1, "tags": [1]}]',
    "many tags": b'[{"date": "2026-01-01", "amount": 1, "tags": [' + b'"a",' * 50_000 + b'"b"]}]',
    "many unknown members": b'[{"date": "2026-01-01", ' + b",".join(b'"%d":0' % n for n in range(50_000)) + b"}]",
    "numbers for everything": b'[{"date": 1, "amount": 1, "description": 1, "account": 1, "category": 1, "id": 1}]',
    "lists for everything": b'[{"date": [], "amount": [], "description": [], "account": {}, "type": [], "group": {}}]',
    "no objects": b'[1, null, "x", [], true]',
    "transactions that are none": b'{"transactions": {}}',
    "accounts that are none": b'{"accounts": 7, "transactions": []}',
    "an account that is none": b'{"accounts": [null], "transactions": []}',
    "an account of odd members": b'{"accounts": [{"name": "x", "opening_balance": {}, "kind": 1}], "transactions": []}',
    "an account of a long name": b'{"accounts": [{"name": "' + b"x" * 101 + b'"}], "transactions": []}',
    "an opening balance that is huge": b'{"accounts": [{"name": "x", "opening_balance": 1e30}], "transactions": []}',
    "a void one": b'[{"date": "2026-01-01", "amount": 1, "status": "void"}]',
    "an expiry that is none": b'[{"date": "2026-01-01", "amount": 1, "status": "pending", "expires_at": "soon"}]',
    "an expiry past all years": b'[{"date": "2026-01-01", "amount": 1, "status": "pending", '
    b'"expires_at": "9999-12-31T23:59:59-12:00"}]',
    "a year 0": b'[{"date": "0000-01-01", "amount": 1}]',
    "a cut file": rows(coffee())[:-5],
    "UTF-16 that is none": b"\xff\xfe\x00\xd8",
    "UTF-8 that is cut": "[{\"description\": \"Á".encode()[:-1],
    "a bill of laughs": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "' + b"l" * 1000 + b'"><!ENTITY b "'
    + b"&a;" * 1000 + b'">]><OFX>&b;</OFX>',
    "an external entity": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    b'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02">&a;</Document>',
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_is_refused_and_nothing_is_booked(client: FlaskClient, ledger: Ledger, name: str) -> None:
    before = position(ledger)
    for path in ("/import", "/import/json", "/import/ndjson", "/import?preview=true", "/import/csv"):
        answer = send(client, HOSTILE[name], path)
        if path in ("/import?preview=true", "/import/csv") and answer.status_code == 200:
            assert answer.json["booked"] == 0, answer.text[:500]
        else:
            assert answer.status_code in (422, 413), (path, answer.text[:500])
            assert answer.mimetype == "application/problem+json"
        assert len(answer.data) < 100_000, path
        assert answer.data.isascii() or answer.data.decode()
    assert position(ledger) == before
    assert "root:" not in answer.text


def test_references_may_be_whatever_json_can_spell(client: FlaskClient, ledger: Ledger) -> None:
    file = b'[{"date": "2026-01-01", "amount": 1, "description": "x", "reference": "\\ud800\\u0000"}]'
    assert send(client, file).json["booked"] == 1
    assert send(client, file).json["skipped"] == 1
    sound(ledger)


def test_members_that_stand_twice_are_refused(client: FlaskClient, ledger: Ledger) -> None:
    file = b'{"date": "2026-01-01", "amount": 1, "amount": 1000, "description": "x"}'
    for data in (file, b"[" + file + b"]"):
        assert send(client, data).status_code == 422
    assert standing(ledger) == {}


fuzzed = settings(
    derandomize=True,
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
PIECES = (
    b"date,amount,description\n", b"2026-01-01,1,x\n", b"\xff\xfe", b"\xef\xbb\xbf", b"OFXHEADER:100\n<OFX>",
    b"<STMTTRN>",
    b"</STMTTRN>", b"<TRNAMT>1", b"<DTPOSTED>20260101", b"!Type:Bank\nD1/1/2026\nT-5\n^\n", b"D1/1/2026\n", b"T1\n",
    b"^\n",
    b":20:X\n:25:1/2\n:28C:1\n:60F:C260101EUR1,\n", b":61:2601010101D1,00NMSCNONREF\n", b":62F:C260101EUR0,\n", b"-}",
    b"2026-01-01 open Assets:Cash USD\n", b'2026-01-01 * "x"\n  Assets:Cash  -1 USD\n  Expenses:Food\n\n',
    b"2026-01-01 x\n    assets:cash  $-1\n    expenses:food\n", b'{"date": "2026-01-01", "amount": 1}\n', b"[", b"]",
    b"{", b"}", b",", b'"', b"\n", b"\r\n", b";", b"\t", b"\0", b"\x81", b"\xc3", b"-",
    b"0", b"1e9", b"=1+1", b"<Document>",
    b"<",
)  # fmt: skip


@fuzzed
@given(st.binary(max_size=300) | st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join), st.booleans())
@example(b"\xc3\x81\xc3", False)
@example(b"\x81", True)
def test_any_bytes_are_imported_or_refused(client: FlaskClient, ledger: Ledger, data: bytes, partial: bool) -> None:
    answer = send(client, data, f"/import?partial={str(partial).lower()}")
    assert answer.status_code == 200 or 400 <= answer.status_code < 500, (data, answer.text)
    assert answer.mimetype == ("application/json" if answer.status_code == 200 else "application/problem+json")
    if answer.status_code == 200 and answer.json["booked"]:
        assert send(client, data, f"/import?partial={str(partial).lower()}").json["booked"] == 0, data
        sound(ledger)


@fuzzed
@given(st.sampled_from(sorted(IMPORTS)), st.lists(st.sampled_from(PIECES), max_size=10).map(b"".join))
def test_any_bytes_that_are_said_to_be_of_a_format_are_imported_or_refused(
    client: FlaskClient, ledger: Ledger, name: str, data: bytes
) -> None:
    answer = send(client, data, f"/import/{name}?partial=true")
    assert answer.status_code == 200 or 400 <= answer.status_code < 500, (name, data, answer.text)
    if answer.status_code == 200 and answer.json["booked"]:
        sound(ledger)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from([
        "2026-01-01", "INCOME", "TRANSFER", "pending", "main", "EUR", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "a:b", "5.00",
        "\ud800",
    ]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
MEMBERS = (
    "id", "type", "status", "description", "amount", "currency", "date", "account", "category", "tags", "payee",
    "notes", "group", "expires_at", "reference", "created_at", "version",
)  # fmt: skip
documents = st.fixed_dictionaries(
    {"date": st.sampled_from(["2026-01-01", "2026-01-02"]) | values, "amount": st.integers(-5, 5) | values},
    optional={name: values for name in MEMBERS if name not in ("date", "amount")},
)


@fuzzed
@given(st.lists(documents, max_size=6), st.booleans())
def test_any_documents_are_imported_or_refused(
    client: FlaskClient, ledger: Ledger, found: list[Any], lines: bool
) -> None:
    data = "\n".join(map(json.dumps, found)) if lines else json.dumps(found)
    answer = send(client, data.encode(), f"/import/{'ndjson' if lines else 'json'}?partial=true")
    assert answer.status_code == 200 or 400 <= answer.status_code < 500, (data, answer.text)
    if answer.status_code == 200 and answer.json["booked"]:
        before = content(ledger)
        assert send(client, data.encode(), f"/import/{'ndjson' if lines else 'json'}?partial=true").json["booked"] == 0
        assert content(ledger) == before
        sound(ledger)


def test_the_fuzz_reaches_what_is_booked(client: FlaskClient, app: Flask) -> None:
    for piece in (b"date,amount,description\n2026-01-01,1,x\n", b'{"date": "2026-01-01", "amount": 1}\n'):
        assert send(client, piece).json["booked"] == 1
    assert current.books(app).own_ledger().head() is not None
