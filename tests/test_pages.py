"""Pages that are kept encoded: never older than the books, and never more of them than they may be."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event

from cashman import db
from cashman.db import Database
from cashman.ledger import Books
from cashman.model.expense import Expense
from cashman.pages import EncodedPage, Pages

PIZZA = {"description": "pizza", "amount": 50}


def page(size: int) -> EncodedPage:
    return EncodedPage(bytes(size), None)


def test_the_pages_asked_for_last_are_kept_as_far_as_they_fit() -> None:
    pages = Pages(100)
    for name in "abc":
        pages.put(name, page(30))
    assert pages.get("a") == page(30)
    pages.put("d", page(30))
    assert [pages.get(name) is None for name in "abcd"] == [False, True, False, False]


def test_a_page_that_is_put_again_counts_once() -> None:
    pages = Pages(100)
    for _ in range(10):
        pages.put("a", page(40))
    pages.put("b", page(60))
    assert pages.get("a") == page(40)
    assert pages.get("b") == page(60)


def test_a_page_larger_than_all_of_the_room_is_not_kept() -> None:
    pages = Pages(100)
    pages.put("a", page(10))
    pages.put("large", page(101))
    assert pages.get("large") is None
    pages.put("b", page(100))
    assert pages.get("b") == page(100)


@pytest.fixture
def statements(client: FlaskClient, books: Books) -> Iterator[list[str]]:
    """What is asked of the database through its engine."""
    seen: list[str] = []
    books.database.open()

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(books.database.engine, "before_cursor_execute", note)
    yield seen
    event.remove(books.database.engine, "before_cursor_execute", note)


def reads_of_transactions(statements: list[str]) -> int:
    return sum("transactions" in statement for statement in statements)


def test_a_page_that_is_asked_for_again_is_not_read_again(client: FlaskClient, statements: list[str]) -> None:
    for _ in range(3):
        client.post("/expenses", json=PIZZA)
    first = client.get("/expenses?limit=2")
    before = reads_of_transactions(statements)
    again = client.get("/expenses?limit=2")
    assert reads_of_transactions(statements) == before
    for answer in (first, again):
        assert answer.headers.pop("X-Request-Id")  # which is of the request
    assert (again.data, dict(again.headers)) == (first.data, dict(first.headers))
    assert "Link" in again.headers
    client.get("/expenses?limit=3")
    assert reads_of_transactions(statements) == before + 1  # the control: another query is read


def test_a_page_that_the_client_has_is_not_even_read(client: FlaskClient, statements: list[str]) -> None:
    client.post("/expenses", json=PIZZA)
    tag = client.get("/expenses").headers["ETag"]
    before = reads_of_transactions(statements)
    assert client.get("/expenses", headers={"If-None-Match": tag}).status_code == 304
    assert reads_of_transactions(statements) == before


def test_what_another_process_books_is_in_the_next_page(client: FlaskClient, database_url: str) -> None:
    client.post("/expenses", json=PIZZA)
    assert len(client.get("/expenses").json) == 1
    neighbour = Books(db.connect(database_url))
    neighbour.own_ledger().record(Expense("soap", 3))
    neighbour.database.close()
    assert [row["description"] for row in client.get("/expenses").json] != ["pizza"]
    assert len(client.get("/expenses").json) == 2


def test_a_name_that_is_changed_is_in_the_next_page(client: FlaskClient) -> None:
    client.post("/expenses", json={**PIZZA, "category": "Food"})
    assert client.get("/expenses").json[0]["category"] == "Food"
    client.post("/categories/rename", json={"from": "Food", "to": "Meals"})
    assert client.get("/expenses").json[0]["category"] == "Meals"


def test_a_peek_is_what_a_read_in_a_transaction_gives(books: Books) -> None:
    database: Database = books.database
    statement = "SELECT ledger_id, sequence FROM journal_heads"
    database.open()
    whole = database.read(lambda connection: tuple(connection.exec_driver_sql(statement).one()))
    assert tuple(database.peek(statement)) == whole
    books.own_ledger().record(Expense("pizza", 50))
    assert tuple(database.peek(statement)) == (whole[0], whole[1] + 1)


def test_a_peek_that_fails_says_what_the_usual_way_would_say(books: Books) -> None:
    books.database.open()
    with pytest.raises(Exception, match="nowhere"):
        books.database.peek("SELECT 1 FROM nowhere")
    assert tuple(books.database.peek("SELECT 1")) == (1,)


def test_threads_that_peek_at_once_each_get_their_own_row(books: Books) -> None:
    """The embedding application may use threads where the service has gevent."""
    database: Database = books.database
    database.open()
    statement = "SELECT ledger_id, sequence FROM journal_heads"
    right = tuple(database.peek(statement))
    database.close()  # so that all of them find that there is no connection yet
    together = threading.Barrier(8)
    found: list[Any] = []

    def peek() -> None:
        together.wait()
        for _ in range(300):
            try:
                found.append(tuple(database.peek(statement)))
            except Exception as error:  # what a thread raises is lost otherwise
                found.append(error)

    threads = [threading.Thread(target=peek) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 * 300
    assert [one for one in found if one != right] == []
