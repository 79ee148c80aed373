"""The mappings of CSV files that a ledger keeps under a name."""

import threading
from typing import Any

import pytest
from filing import another_ledger
from flask.testing import FlaskClient

from cashman import mappings
from cashman.errors import Invalid, NotFound
from cashman.ledger import Ledger
from cashman.verify import verify

MAPPING: dict[str, Any] = {
    "separator": ";", "decimal": ",", "date_order": "DMY", "header": True, "skip": 3, "sign": "reversed",
    "columns": {"date": "Datum", "amount": 2, "payee": None},
}  # fmt: skip


def test_a_mapping_is_kept_shown_replaced_and_forgotten(client: FlaskClient) -> None:
    assert client.get("/import/mappings").json == {}
    assert client.get("/import/mappings/a").status_code == 404
    assert client.put("/import/mappings/a", json=MAPPING).status_code == 204
    assert client.put("/import/mappings/Ünï €", json={}).status_code == 204
    assert client.get("/import/mappings/a").json == MAPPING
    assert client.get("/import/mappings").json == {"a": MAPPING, "Ünï €": {}}
    assert client.put("/import/mappings/a", json={"separator": "\t"}).status_code == 204
    assert client.get("/import/mappings/a").json == {"separator": "\t"}
    for _ in range(2):
        assert client.delete("/import/mappings/a").status_code == 204
    assert client.get("/import/mappings").json == {"Ünï €": {}}


@pytest.mark.parametrize(
    "document",
    [
        [], "x", {"separator": ",,"}, {"separator": 5}, {"decimal": "'"}, {"date_order": "XYZ"}, {"header": 1},
        {"skip": -1}, {"skip": True}, {"skip": 1_001}, {"sign": "odd"}, {"columns": []}, {"columns": {"odd": 1}},
        {"columns": {"date": 0}}, {"columns": {"date": 1.5}}, {"columns": {"date": True}}, {"columns": {"date": ""}},
        {"columns": {"date": "\0"}}, {"columns": {"date": "\ud800"}}, {"columns": {"date": "x" * 201}}, {"odd": 1},
    ],
)  # fmt: skip
def test_a_mapping_that_is_none_is_refused(client: FlaskClient, document: Any) -> None:
    assert client.put("/import/mappings/a", json=document).status_code == 422
    assert client.get("/import/mappings").json == {}


@pytest.mark.parametrize("name", ["x" * 51, "a/b", "a%00b"])
def test_a_name_that_is_none_is_no_resource(client: FlaskClient, name: str) -> None:
    assert client.put(f"/import/mappings/{name}", json={}).status_code == 404


def test_a_ledger_keeps_so_many_and_goes_on_to_replace_them(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mappings, "MAPPINGS_MAX", 2)
    for name in ("a", "b"):
        mappings.save(ledger, name, {})
    with pytest.raises(Invalid):
        mappings.save(ledger, "c", {})
    mappings.save(ledger, "a", {"skip": 1})
    mappings.forget(ledger, "b")
    mappings.save(ledger, "c", {})
    assert mappings.find_all(ledger) == {"a": {"skip": 1}, "c": {}}


def test_each_ledger_has_mappings_of_its_own(ledger: Ledger) -> None:
    other = another_ledger(ledger.books)
    mappings.save(ledger, "a", {"skip": 1})
    assert mappings.find_all(other) == {}
    with pytest.raises(NotFound):
        mappings.find(other, "a")
    mappings.forget(other, "a")
    assert mappings.find(ledger, "a") == {"skip": 1}
    verify(ledger.books.database)


def test_who_keeps_the_same_at_once_keeps_it_once(ledger: Ledger) -> None:
    threads = [threading.Thread(target=mappings.save, args=[ledger, "a", {"skip": number}]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mappings.find_all(ledger).keys() == {"a"}
