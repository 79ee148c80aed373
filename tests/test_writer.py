"""Group commit: what gathers is committed together, fails alone where it is bad, and never waits in vain."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cashman import writer as module
from cashman.batch import Batch
from cashman.changes import Change
from cashman.db import Database
from cashman.errors import StoreUnavailable
from cashman.ledger import OWNERS_OWN, Books, Ledger
from cashman.model.expense import Expense
from cashman.model.filter import Filter
from cashman.receipts import Receipt
from cashman.writer import Writer


class Gate:
    """A commit that stays shut until the test opens it, and remembers what it was given."""

    def __init__(self, outcomes: Callable[[Sequence[Any]], Sequence[Any]] = list) -> None:
        self.batches: list[list[Any]] = []
        self.open = threading.Event()
        self.entered = threading.Event()
        self.outcomes = outcomes

    def commit(self, changes: Sequence[Any]) -> Sequence[Any]:
        self.batches.append(list(changes))
        self.entered.set()
        assert self.open.wait(10)
        return self.outcomes(changes)


def gathered(writer: Writer[Any, Any], count: int) -> None:
    """Wait until so many changes wait for the next commit."""
    deadline = time.monotonic() + 10
    while len(writer._gathered) < count:
        assert time.monotonic() < deadline, "the changes do not gather"
        time.sleep(0.001)


def outcome_of(submit: Callable[[], Any]) -> Any:
    """What a submission gives, or the error that it raises."""
    try:
        return submit()
    except BaseException as error:
        return error


def run_behind(gate: Gate, writer: Writer[Any, Any], changes: Sequence[Any]) -> list[Any]:
    """Submit the first change, let the others gather in order while it is committed, and open the gate."""
    with ThreadPoolExecutor(len(changes)) as pool:
        first = pool.submit(outcome_of, lambda: writer.submit(changes[0]))
        assert gate.entered.wait(10)
        others = []
        for number, change in enumerate(changes[1:], 1):
            others.append(pool.submit(outcome_of, lambda change=change: writer.submit(change)))
            gathered(writer, number)
        gate.open.set()
        return [future.result(10) for future in [first, *others]]


def test_one_alone_commits_its_own_change() -> None:
    batches: list[list[int]] = []

    def commit(changes: Sequence[int]) -> list[int]:
        batches.append(list(changes))
        return [change * 10 for change in changes]

    writer = Writer[int, int](commit)
    assert [writer.submit(number) for number in (1, 2)] == [10, 20]
    assert batches == [[1], [2]]


def test_what_gathers_during_a_commit_is_committed_together_and_in_order() -> None:
    gate = Gate()
    writer = Writer[int, int](gate.commit)
    assert run_behind(gate, writer, range(20)) == list(range(20))
    assert gate.batches == [[0], list(range(1, 20))]


def test_a_batch_has_a_limit_and_the_lead_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_CHANGES_MAX", 3)
    gate = Gate()
    writer = Writer[int, int](gate.commit)
    assert run_behind(gate, writer, range(9)) == list(range(9))
    assert gate.batches == [[0], [1, 2, 3], [4, 5, 6], [7, 8]]
    assert writer.submit(9) == 9  # and nobody leads for ever


def test_a_bad_change_raises_where_it_was_submitted_and_nowhere_else() -> None:
    wrong = ValueError("odd")
    gate = Gate(lambda changes: [wrong if change % 2 else change for change in changes])
    assert run_behind(gate, Writer[int, int](gate.commit), range(6)) == [0, wrong, 2, wrong, 4, wrong]


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt(), SystemExit(1)], ids=repr)
def test_a_commit_that_breaks_down_fails_its_own_batch_and_the_next_goes_on(error: BaseException) -> None:
    def outcomes(changes: Sequence[int]) -> list[int]:
        if 0 in changes:
            raise error
        return list(changes)

    gate = Gate(outcomes)
    writer = Writer[int, int](gate.commit)
    assert run_behind(gate, writer, range(4)) == [error, 1, 2, 3]
    assert writer.submit(4) == 4


def test_a_commit_that_forgets_an_outcome_fails_all() -> None:
    """Nobody is told that a change is durable when its outcome is unknown."""
    gate = Gate(lambda changes: changes if 0 in changes else changes[:-1])
    first, *others = run_behind(gate, Writer[int, int](gate.commit), range(4))
    assert first == 0
    assert [type(outcome) for outcome in others] == [ValueError] * 3


def test_many_threads_get_each_their_own_outcome() -> None:
    batches: list[int] = []

    def commit(changes: Sequence[int]) -> list[int]:
        batches.append(len(changes))
        time.sleep(0.002)  # what a disk takes
        return [-change for change in changes]

    writer = Writer[int, int](commit)
    threads = 32
    with ThreadPoolExecutor(threads) as pool:
        outcomes = list(
            pool.map(lambda number: [writer.submit(number * 100 + turn) for turn in range(10)], range(threads))
        )
    assert outcomes == [[-(number * 100 + turn) for turn in range(10)] for number in range(threads)]
    assert sum(batches) == threads * 10
    assert len(batches) < threads * 10 / 2


# With the books behind it.


class Behaves(Change):
    """A change that does what a test says."""

    def __init__(self, behave: Callable[[Batch], Any]) -> None:
        super().__init__(1, OWNERS_OWN)
        self.behave = behave

    def decide(self, batch: Batch) -> Receipt:
        self.behave(batch)
        return Receipt([], batch.chain.head)


def together(books: Books, *submissions: Callable[[], Any]) -> list[Any]:
    """Run submissions so that all of them are one batch: the outcome or the error of each."""
    entered, go_on = threading.Event(), threading.Event()

    def hold(batch: Batch) -> None:
        entered.set()
        assert go_on.wait(10)

    with ThreadPoolExecutor(len(submissions) + 1) as pool:
        holder = pool.submit(books.submit, Behaves(hold))
        assert entered.wait(10)
        futures = []
        for number, submission in enumerate(submissions, 1):
            futures.append(pool.submit(outcome_of, submission))
            gathered(books.writer, number)
        go_on.set()
        holder.result(10)
        return [future.result(30) for future in futures]


def count_commits(books: Books, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows with each transaction that the books write."""
    write = books.database.write
    commits: list[int] = []

    def counted(work: Any) -> Any:
        commits.append(1)
        return write(work)

    monkeypatch.setattr(books.database, "write", counted)
    return commits


def test_a_batch_is_one_durable_commit(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = count_commits(ledger.books, monkeypatch)
    outcomes = together(ledger.books, *[lambda n=n: ledger.record(Expense(f"pizza {n}", 1)) for n in range(20)])
    assert [outcome.head.sequence for outcome in outcomes] == list(range(3, 23))
    assert len(commits) == 2  # the one that held the door, and the batch
    assert len(ledger.find(Filter()).rows) == 20


@pytest.mark.parametrize("fault", ["python", "sql"])
def test_an_unforeseen_exception_fails_alone(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    def break_down(batch: Batch) -> None:
        if fault == "sql":
            batch.connection.exec_driver_sql("SELECT nonsense FROM nowhere")
        raise RuntimeError("nobody foresaw this")

    commits = count_commits(ledger.books, monkeypatch)
    outcomes = together(
        ledger.books,
        lambda: ledger.record(Expense("one", 1)),
        lambda: ledger.books.submit(Behaves(break_down)),
        lambda: ledger.record(Expense("two", 2)),
    )
    assert [isinstance(outcome, Receipt) for outcome in outcomes] == [True, False, True]
    assert [outcomes[place].head.sequence for place in (0, 2)] == [3, 4]
    assert sorted(row.description for row in ledger.find(Filter()).rows) == ["one", "two"]
    assert len(commits) == 1 + 1 + 3
    assert "a batch of 3 changes failed; each is tried alone" in caplog.text


def test_an_unforeseen_exception_of_one_alone_is_raised_as_it_is(ledger: Ledger) -> None:
    wrong = RuntimeError("nobody foresaw this")

    def break_down(batch: Batch) -> None:
        raise wrong

    with pytest.raises(RuntimeError) as raised:
        ledger.books.submit(Behaves(break_down))
    assert raised.value is wrong
    assert ledger.record(Expense("pizza", 1)).head.sequence == 3


def test_a_store_that_is_unavailable_fails_all_that_wait_at_once(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them would only wait for the same store: they are not tried one by one."""
    unavailable = StoreUnavailable("the disk is full")
    write = Database.write
    attempts: list[int] = []

    def fails(database: Database, work: Any) -> Any:
        def first_then_full(connection: Any) -> Any:
            if len(attempts) > 1:
                raise unavailable
            return work(connection)

        attempts.append(1)
        return write(database, first_then_full)

    monkeypatch.setattr(Database, "write", fails)
    outcomes = together(ledger.books, *[lambda n=n: ledger.record(Expense(f"pizza {n}", 1)) for n in range(5)])
    assert outcomes == [unavailable] * 5
    assert len(attempts) == 2
    monkeypatch.undo()
    assert ledger.record(Expense("after", 1)).head.sequence == 3
    assert [row.description for row in ledger.find(Filter()).rows] == ["after"]


GEVENT_SCRIPT = """
from gevent import monkey; monkey.patch_all()
import sys, threading, gevent
from cashman import db
from cashman.errors import NotFound
from cashman.changes import Target
from cashman.ledger import Books
from cashman.model.expense import Expense
from cashman.model.filter import Filter

books = Books(db.connect(sys.argv[1]))
ledger = books.own_ledger()
books.database.open()
commits, threads, ticks = [0], set(), [0]
write = books.database.write

def counted(work):
    def slowly(connection):
        threads.add(monkey.get_original("threading", "get_ident")())
        outcome = work(connection)
        connection.exec_driver_sql(sys.argv[2])
        return outcome

    commits[0] += 1
    return write(slowly)

books.database.write = counted

def tick():
    while True:
        ticks[0] += 1
        gevent.sleep(0.005)

ticker = gevent.spawn(tick)
greenlets = [gevent.spawn(ledger.record, Expense(f"pizza {n}", 1)) for n in range(100)]

def refused():
    try:
        ledger.void(Target("0" * 26))
    except NotFound:
        return True

gevent.joinall(greenlets, timeout=30, raise_error=True)
assert refused()
ticker.kill()
rows = ledger.find(Filter(limit=1000)).rows
sequences = sorted(greenlet.value.head.sequence for greenlet in greenlets)
here = monkey.get_original("threading", "get_ident")()
print(len(rows), sequences == list(range(3, 103)), commits[0] < 50, ticks[0] > 2, here in threads)
books.database.close()
"""


def test_under_gevent_a_batch_is_committed_beside_the_loop(database_url: str, engine_name: str) -> None:
    """Other greenlets go on, and what they bring meanwhile is the next batch.

    SQLite blocks, so it runs in a native thread; PostgreSQL's driver waits together with the loop.
    """
    slow = "SELECT pg_sleep(0.02)" if engine_name == "postgresql" else "SELECT count(*) FROM journal, journal, journal"
    on_loop = str(engine_name == "postgresql")
    root = Path(__file__).resolve().parents[1]
    ran = subprocess.run(
        [sys.executable, "-c", GEVENT_SCRIPT, database_url, slow],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout.split(), ran.stderr) == (0, ["100", "True", "True", "True", on_loop], "")


class Ended(BaseException):
    """What ends a request from outside, as gevent's GreenletExit does."""


def interrupt(monkeypatch: pytest.MonkeyPatch, change: str, wait: Callable[[threading.Event], None]) -> None:
    """Let the waiting of one change's request be `wait` and end with an exception."""
    genuine = module._Waiting

    def make(given: Any) -> Any:
        waiting: Any = genuine(given)
        if given == change:
            woken = waiting.woken

            class Woken:
                set = staticmethod(woken.set)

                def wait(self) -> None:
                    wait(woken)
                    raise Ended

            waiting.woken = Woken()
        return waiting

    monkeypatch.setattr(module, "_Waiting", make)


@pytest.mark.parametrize("chosen", [False, True], ids=["while it waits", "when it was to lead"])
def test_a_request_that_is_ended_while_it_waits_takes_its_change_and_the_lead_with_it(
    chosen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    writer: Writer[str, str] = Writer(gate.commit)
    interrupt(monkeypatch, "second", lambda woken: assert_woken(woken) if chosen else None)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(writer.submit, "first")
        assert gate.entered.wait(10)
        second = pool.submit(outcome_of, lambda: writer.submit("second"))
        if chosen:
            gathered(writer, 1)
        else:
            assert isinstance(second.result(10), Ended)
        third = pool.submit(writer.submit, "third")
        gathered(writer, 2 if chosen else 1)
        gate.open.set()
        assert first.result(10) == "first"
        assert third.result(10) == "third"
        assert isinstance(second.result(10), Ended)
    assert [change for batch in gate.batches for change in batch] == ["first", "third"]


def assert_woken(woken: threading.Event) -> None:
    assert woken.wait(10)


def test_a_request_that_is_ended_while_it_is_committed_is_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    writer: Writer[str, str] = Writer(gate.commit)
    committing = threading.Event()
    interrupt(monkeypatch, "third", lambda woken: assert_woken(committing))

    def outcomes(changes: Sequence[Any]) -> Sequence[Any]:
        if "third" in changes:
            committing.set()
            time.sleep(0.05)
        return changes

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(writer.submit, "first")
        assert gate.entered.wait(10)
        second = pool.submit(writer.submit, "second")
        gathered(writer, 1)
        third = pool.submit(outcome_of, lambda: writer.submit("third"))
        gathered(writer, 2)
        gate.outcomes = outcomes
        gate.open.set()
        assert isinstance(third.result(10), Ended)
        assert (first.result(10), second.result(10)) == ("first", "second")
    assert [change for batch in gate.batches for change in batch] == ["first", "second", "third"]
