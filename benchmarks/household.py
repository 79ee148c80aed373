"""The ledgers that reading is measured on: a household's five years, the same ones each time they are made."""

import contextlib
import hashlib
import itertools
import json
import random
import shutil
import sqlite3
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from cashman import db
from cashman.ledger import Books
from cashman.model.expense import Expense
from cashman.model.income import Income
from sqlalchemy import create_engine, make_url, text

from benchmarks import servers
from benchmarks.options import Options
from benchmarks.servers import REPOSITORY, Unusable

FIRST_DAY = date(2021, 1, 1)
LAST_DAY = date(2025, 12, 31)
PLANTED_MONTH = date(2025, 12, 1)
"""The last month holds the same PLANTED transactions in every ledger, and no others."""
PLANTED = 1_000
SMALL = 2_000
"""What the small ledger holds: a thousand over five years, and those of the planted month."""

ACCOUNTS = ("main", *(f"account {number}" for number in range(2, 11)))
CATEGORIES = [f"Category {group}:Part {part}" for group in range(12) for part in range(5)]
PAYEES = [f"payee {number}" for number in range(300)]
TAGS = [f"tag {number}" for number in range(40)]

RARE_HITS = 50
"""In how many transactions each rare word stands."""
CONSONANTS = "bdfgklmnprstvz"
BATCH = 10_000


def _vocabulary() -> list[str]:
    """Two thousand words of two or three syllables; none has a q, which tells the rare ones."""
    choice, words = random.Random("words"), dict[str, None]()
    while len(words) < 2_000:
        syllables = (choice.choice(CONSONANTS) + choice.choice("aeiou") for _ in range(choice.choice((2, 3, 3))))
        words["".join(syllables)] = None
    return list(words)


VOCABULARY = _vocabulary()
FREQUENT_WORD = VOCABULARY[0]
"""Stands in about one transaction of fifteen."""


def rare_words(count: int) -> list[str]:
    """The words that stand RARE_HITS times in a ledger of so many: one for each 5,000 transactions, at least one."""
    letters = itertools.product(CONSONANTS, repeat=3)
    return [f"q{''.join(three)}" for three in itertools.islice(letters, max(1, (count - PLANTED) // 5_000))]


def transactions(count: int) -> Iterator[Expense | Income]:
    """So many, the planted ones among them, which come last."""
    choice, spread, rare = random.Random(2026), count - PLANTED, rare_words(count)
    step = spread // (len(rare) * RARE_HITS)
    for place in range(spread):
        number, rest = divmod(place, step)
        word = rare[number % len(rare)] if rest == 0 and number < len(rare) * RARE_HITS else None
        yield _transaction(choice, FIRST_DAY + timedelta(choice.randrange((PLANTED_MONTH - FIRST_DAY).days)), word)
    choice = random.Random("planted")
    for _ in range(PLANTED):
        yield _transaction(choice, PLANTED_MONTH + timedelta(choice.randrange(31)), None)


def _transaction(choice: random.Random, day: date, rare_word: str | None) -> Expense | Income:
    kind = Expense if choice.random() < 0.9 else Income
    words = [_word(choice) for _ in range(choice.randrange(2, 5))]
    if rare_word is not None:
        words.append(rare_word)
    return kind(
        " ".join(words),
        f"{choice.randrange(1, 100_000) / 100:.2f}",
        date=day,
        account=choice.choice(ACCOUNTS),
        category=choice.choice(CATEGORIES),
        payee=choice.choice(PAYEES),
        tags=choice.sample(TAGS, choice.choice((1, 2))) if choice.random() < 0.2 else None,
        notes=" ".join(_word(choice) for _ in range(choice.randrange(3, 9))) if choice.random() < 0.2 else None,
    )


def _word(choice: random.Random) -> str:
    """Some words are much more frequent than others, as in any language."""
    return VOCABULARY[int(len(VOCABULARY) * choice.random() ** 2)]


@contextlib.contextmanager
def ledger(options: Options, count: int, name: str) -> Iterator[tuple[str, str]]:
    """The URL of a ledger of so many, as a copy that may be written to, and how it came about."""
    with options.fresh_ledger(name) as url:
        if options.keep is None or options.database_url is not None:
            yield url, _made(url, count)
            return
        kept, file = options.keep / f"household-{count}-{_recipe()}.db", Path(make_url(url).database or "")
        if kept.exists():
            said = f"{count:,} transactions were taken from {kept.name}"
        else:
            said = _made(url, count)
            options.keep.mkdir(parents=True, exist_ok=True)
            _empty_wal(file)
            # Whoever breaks off leaves nothing that looks whole.
            shutil.move(shutil.copyfile(file, kept.with_suffix(".part")), kept)
        shutil.copyfile(kept, file)
        yield url, said


def _made(url: str, count: int) -> str:
    seconds = make(url, count)
    return f"{count:,} transactions were recorded in batches of {BATCH:,}, in process: {count / seconds:,.0f} a second"


def make(url: str, count: int) -> float:
    """Open the accounts over HTTP, then record in process; returns the seconds that the recording took."""
    with servers.cashman(url, workers=1) as server:
        for account in ACCOUNTS[1:]:
            body = json.dumps({"name": account, "currency": "USD", "opening_balance": 0, "opening_date": "2021-01-01"})
            status = server.request("POST", "/accounts", body)[0]
            if status != 201:
                raise Unusable(f"POST /accounts answered {status}")
    books = Books(db.connect(url))
    own, began = books.own_ledger(), time.monotonic()
    rows = transactions(count)
    while batch := list(itertools.islice(rows, BATCH)):
        own.record(*batch)
    books.database.close()
    seconds = time.monotonic() - began
    _analyze(url)
    return seconds


def _analyze(url: str) -> None:
    """Do at once what PostgreSQL's autovacuum does within a minute."""
    server = make_url(url)
    if server.get_backend_name() == "postgresql":
        engine = create_engine(server.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("VACUUM ANALYZE"))
        engine.dispose()


def _recipe() -> str:
    """What a kept file depends on: this module and the tables."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for file in sorted((REPOSITORY / "cashman" / "migrations" / "versions").glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _empty_wal(file: Path) -> None:
    """Bring all of a database into its one file; nobody else has it open."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            raise Unusable(f"{file.name} is still in use")
