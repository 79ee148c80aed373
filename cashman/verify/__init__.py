"""Proof of the books: recompute hashes, sequences, revisions, state and totals from the journal alone.

Two passes in one snapshot, each at flat memory: along the chain, and along the transactions beside their
revisions. The first thing that is not as the journal says is named by `Tampered`.
"""

import sqlite3
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from cashman.db import Base, Database
from cashman.journal import GENESIS, Head
from cashman.model.ledger import LedgerRecord
from cashman.search import ledgers_of_stems
from cashman.verify.chain import ChainWalk
from cashman.verify.derived import Derived
from cashman.verify.findings import Follow, Tampered, Verified, as_stored
from cashman.verify.states import check_states

__all__ = ["Tampered", "Verified", "parse_receipt", "verify", "verify_on"]


def verify(database: Database, receipt: Head | None = None, follow: Follow = iter) -> list[Verified]:
    """Check every ledger of a database, and that a receipt kept outside is in its chain; raises Tampered."""
    return database.read(lambda connection: verify_on(connection, receipt, follow))


def verify_on(connection: Connection, receipt: Head | None = None, follow: Follow = iter) -> list[Verified]:
    """The same, on a connection in whose transaction nothing else happens meanwhile."""
    try:
        return _verify_all(connection, receipt, follow)
    except DBAPIError as error:
        if not isinstance(error.orig, sqlite3.OperationalError) or "decode" not in str(error.orig):
            raise
    # Some text in this SQLite database is not UTF-8. Reading it leniently costs time, and finds the row.
    driver: Any = connection.connection.dbapi_connection
    driver.text_factory = lambda stored: stored.decode(errors="surrogateescape")
    try:
        return _verify_all(connection, receipt, follow)
    finally:
        driver.text_factory = str


def _verify_all(connection: Connection, receipt: Head | None, follow: Follow) -> list[Verified]:
    _check_strays(connection)
    ledgers = connection.execute(as_stored(LedgerRecord).order_by(LedgerRecord.id)).all()
    if not ledgers:
        raise Tampered("ledgers: there is none")
    verified = []
    receipt_seen = receipt is None or receipt == Head(0, GENESIS)
    for ledger in ledgers:
        chain = ChainWalk(connection, ledger, receipt, follow)
        chain.walk()
        chain.check_names()
        derived = Derived(chain.head.sequence, chain.openings())
        transactions = check_states(connection, ledger.id, chain.transaction_entries, derived, follow)
        derived.check(connection, ledger.id)
        chain.check_next_expiry(derived.next_expiry)
        verified.append(Verified(ledger.ulid, chain.head.sequence, transactions, chain.head))
        receipt_seen = receipt_seen or chain.receipt_seen
    if not receipt_seen:
        raise Tampered(f"journal: the receipt {receipt} is not in the chain")
    return verified


def _check_strays(connection: Connection) -> None:
    """Rows of a ledger that does not exist."""
    known = select(LedgerRecord.id)
    owners = {
        name: select(stored.c.ledger_id)
        for name, stored in sorted(Base.metadata.tables.items())
        if "ledger_id" in stored.c
    }
    owners["stems"] = ledgers_of_stems(connection.dialect.name)
    for name, owner in owners.items():
        own = owner.subquery().c.ledger_id
        stray = connection.execute(select(own).where(own.not_in(known)).limit(1)).first()
        if stray is not None:
            raise Tampered(f"{name}: a row of ledger {stray[0]}, which does not exist")


def parse_receipt(text: str) -> Head:
    """A head written as SEQUENCE:HASH, as Cashman-Head gives it; ValueError for anything else."""
    sequence, _, hash_ = text.partition(":")
    if not (sequence.isascii() and sequence.isdecimal() and len(hash_) == 64):
        raise ValueError("a receipt is SEQUENCE:HASH, as the header Cashman-Head gives it")
    return Head(int(sequence), bytes.fromhex(hash_))
