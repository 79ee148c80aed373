"""The indexes that transactions are found by in words: stems of full text, and tags; kept in the same commit.

Full text is FTS5 on SQLite and an array with an inverted index on PostgreSQL. Both hold the stems that `stems`
made, so both find the same.
"""

from collections.abc import Generator, Iterable, Mapping, Sequence, Set
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    MetaData,
    Select,
    Table,
    bindparam,
    delete,
    select,
    text,
)
from sqlalchemy import Column as TableColumn
from sqlalchemy import Text as LongText
from sqlalchemy.dialects.postgresql import ARRAY

from cashman.db import give_way, insert_rows, table
from cashman.model.tag import TransactionTag
from cashman.stems import stems_of

State = Mapping[str, Any]

_SEQUENCE_BITS: Final = 40
"""FTS5 knows a document by one number: the ledger's id above these bits, the transaction's sequence in them."""

_STEMS: Final = Table(  # of its own metadata: as a virtual table of SQLite it has no columns that a model could name
    "stems",
    MetaData(),
    TableColumn("ledger_id", Integer),
    TableColumn("sequence", BigInteger),
    TableColumn("words", ARRAY(LongText)),
)
_FTS: Final = Table("stems", MetaData(), TableColumn("rowid", BigInteger), TableColumn("words", LongText))

_delete_stems: Final[dict[str, Any]] = {
    "sqlite": text("DELETE FROM stems WHERE rowid = :number"),
    "postgresql": delete(_STEMS).where(
        _STEMS.c.ledger_id == bindparam("of_ledger"), _STEMS.c.sequence == bindparam("of_sequence")
    ),
}
_delete_tag = delete(table(TransactionTag)).where(
    TransactionTag.ledger_id == bindparam("of_ledger"),
    TransactionTag.tag == bindparam("of_tag"),
    TransactionTag.date == bindparam("of_date"),
    TransactionTag.transaction_id == bindparam("of_id"),
)


_NO_TAGS: Final[frozenset[tuple[str, Any]]] = frozenset()


def stands(state: State | None) -> bool:
    """Whether a transaction is there to be found."""
    return state is not None and state["status"] != "void"


def stems_of_state(state: State) -> list[str]:
    """The stems of everything that `q` looks in."""
    return stems_of([state["description"], state["payee"], state["notes"], *state["tags"]])


def store(connection: Connection, ledger_id: int, revised: Iterable[tuple[State | None, State]]) -> None:
    """Bring the indexes from the states before to those after."""
    old_stems, new_stems, old_tags, new_tags = [], [], [], []
    for number, (before, after) in enumerate(revised, 1):
        if number % 500 == 0:
            give_way(connection)
        was, now = _tags(before), _tags(after)
        if was != now:
            of, new = (
                {"of_ledger": ledger_id, "of_id": after["id"]},
                {"ledger_id": ledger_id, "transaction_id": after["id"]},
            )
            old_tags += [{**of, "of_tag": tag, "of_date": date} for tag, date in was - now]
            new_tags += [{**new, "tag": tag, "date": date} for tag, date in now - was]
        if before is not None and _words(before) == _words(after):
            continue
        if before is not None and stands(before):
            old_stems.append(before["sequence"])
        if stands(after):
            new_stems.append((after["sequence"], stems_of_state(after)))
    _store_stems(connection, ledger_id, old_stems, new_stems)
    if old_tags:
        connection.execute(_delete_tag, old_tags)
    insert_rows(connection, table(TransactionTag), new_tags)


def _store_stems(
    connection: Connection, ledger_id: int, old: Sequence[int], new: Sequence[tuple[int, list[str]]]
) -> None:
    engine, base = connection.dialect.name, ledger_id << _SEQUENCE_BITS
    rows: list[dict[str, Any]]
    if engine == "sqlite":
        gone: list[dict[str, Any]] = [{"number": base | sequence} for sequence in old]
        rows = [{"rowid": base | sequence, "words": " ".join(words)} for sequence, words in new if words]
    else:
        gone = [{"of_ledger": ledger_id, "of_sequence": sequence} for sequence in old]
        rows = [{"ledger_id": ledger_id, "sequence": sequence, "words": words} for sequence, words in new if words]
    if gone:
        connection.execute(_delete_stems[engine], gone)
    insert_rows(connection, _FTS if engine == "sqlite" else _STEMS, rows)


def _tags(state: State | None) -> Set[tuple[str, Any]]:
    if state is None or not state["tags"] or not stands(state):
        return _NO_TAGS
    return {(tag, state["date"]) for tag in state["tags"]}


def _words(state: State | None) -> tuple[Any, ...] | None:
    if state is None or not stands(state):
        return None
    return state["description"], state["payee"], state["notes"], state["tags"]


def forget(connection: Connection) -> None:
    """Leave nothing in the index of what was deleted from it: FTS5 keeps it until it merges its segments."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("INSERT INTO stems (stems) VALUES ('optimize')")


def holds_all_stems(engine: str, sequence: ColumnElement[int]) -> ColumnElement[bool]:
    """The condition that the transaction of a sequence holds all stems; `parameters` gives its values."""
    found: Select[Any]
    if engine == "sqlite":
        number = _FTS.c.rowid
        found = (
            select(number.op("&")(text(str((1 << _SEQUENCE_BITS) - 1))))
            .where(text("stems MATCH :stems"), number.between(bindparam("first_number"), bindparam("last_number")))
            .select_from(_FTS)
        )
    else:
        found = select(_STEMS.c.sequence).where(
            _STEMS.c.ledger_id == bindparam("ledger_id"),
            _STEMS.c.words.contains(bindparam("stems", type_=ARRAY(LongText))),
        )
    return sequence.in_(found)


_count: Final = text(
    """SELECT count(*) FROM (
           SELECT rowid FROM stems
           WHERE stems MATCH :stems AND rowid BETWEEN :first_number AND :last_number LIMIT :enough)"""
)


def count(connection: Connection, values: Mapping[str, Any], enough: int) -> int:
    """How many transactions hold all stems, on SQLite; counted until it is enough."""
    names = ("stems", "first_number", "last_number")
    found: int = connection.execute(_count, {"enough": enough, **{name: values[name] for name in names}}).scalar_one()
    return found


def parameters(engine: str, ledger_id: int, stems: Sequence[str]) -> dict[str, Any]:
    """The values of `holds_all_stems`. Stems are letters and digits only, so they need no escaping between quotes."""
    if engine == "sqlite":
        base = ledger_id << _SEQUENCE_BITS
        return {
            "stems": " AND ".join(f'"{stem}"' for stem in stems),
            "first_number": base,
            "last_number": base | (1 << _SEQUENCE_BITS) - 1,
        }
    return {"stems": list(stems)}


def stored_stems(connection: Connection, ledger_id: int) -> Generator[tuple[int, list[str]], None, None]:
    """Every indexed transaction as (sequence, stems), in the order of the sequence."""
    base = ledger_id << _SEQUENCE_BITS
    if connection.dialect.name == "sqlite":
        statement: Any = (
            select(_FTS.c.rowid, _FTS.c.words)
            .where(_FTS.c.rowid.between(base, base | (1 << _SEQUENCE_BITS) - 1))
            .order_by(_FTS.c.rowid)
        )
    else:
        statement = (
            select(_STEMS.c.sequence, _STEMS.c.words).where(_STEMS.c.ledger_id == ledger_id).order_by(_STEMS.c.sequence)
        )
    with connection.execute(statement.execution_options(yield_per=5_000)) as rows:
        for number, words in rows:
            yield (number & (1 << _SEQUENCE_BITS) - 1, words.split(" ") if isinstance(words, str) else words)


def ledgers_of_stems(engine: str) -> Select[Any]:
    """The ledgers that something is indexed for, one row for each thing."""
    if engine == "sqlite":
        return select(_FTS.c.rowid.op(">>")(text(str(_SEQUENCE_BITS))).label("ledger_id"))
    return select(_STEMS.c.ledger_id)
