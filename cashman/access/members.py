"""Ledgers and their members."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from cashman.access.users import check_owners, next_ledger_id
from cashman.db import AnyRow, table
from cashman.errors import LastOwner, NotFound, TooMany
from cashman.ledger import found_ledger
from cashman.limits import LEDGER_MEMBERS_MAX, LEDGERS_MAX
from cashman.model.access import Member, User
from cashman.model.ledger import LedgerRecord
from cashman.translations import message


def make_ledger(connection: Connection, principal: str, actor: str, name: str, currency: str) -> AnyRow:
    """Make a ledger that a principal owns."""
    owned = select(func.count()).where(Member.principal == principal, Member.role == "owner")
    if connection.execute(owned).scalar_one() >= LEDGERS_MAX:
        raise TooMany(message("At most {maximum} ledgers have the same owner.", maximum=LEDGERS_MAX))
    ledger_id = next_ledger_id(connection)
    found_ledger(connection, ledger_id, currency, actor, principal, name)
    return of_principal(connection, principal, ledger_id)[0]


def of_principal(connection: Connection, principal: str, ledger_id: int | None = None) -> Sequence[AnyRow]:
    """The ledgers that a principal is a member of, oldest first, with the role; or only one of them."""
    ledger = LedgerRecord.__table__.c
    asked = (
        select(
            ledger.id, ledger.ulid, ledger.name, ledger.currency, ledger.closed_until, ledger.created_at, Member.role
        )
        .join(Member, Member.ledger_id == ledger.id)
        .where(Member.principal == principal)
        .order_by(ledger.id)
    )
    return connection.execute(asked if ledger_id is None else asked.where(ledger.id == ledger_id)).all()


def name_ledger(connection: Connection, ledger_id: int, name: str | None) -> None:
    """Call a ledger something else."""
    connection.execute(update(table(LedgerRecord)).where(LedgerRecord.id == ledger_id), {"name": name})


def of_ledger(connection: Connection, ledger_id: int) -> Sequence[AnyRow]:
    """The members of a ledger who are users, in the order in which those were made."""
    return connection.execute(
        select(User.id, User.name, User.email, Member.role)
        .join(User, User.principal == Member.principal)
        .where(Member.ledger_id == ledger_id)
        .order_by(User.id)
    ).all()


def put(connection: Connection, ledger_id: int, user_id: str, role: str) -> bool:
    """Give a user a role in a ledger; whether they had none before. NotFound where there is no such user."""
    principal = _principal(connection, user_id)
    before = connection.execute(_role(ledger_id, principal)).scalar()
    if before is None:
        count = connection.execute(select(func.count()).where(Member.ledger_id == ledger_id)).scalar_one()
        if count >= LEDGER_MEMBERS_MAX:
            raise TooMany(message("A ledger has at most {maximum} members.", maximum=LEDGER_MEMBERS_MAX))
        connection.execute(insert(table(Member)), {"ledger_id": ledger_id, "principal": principal, "role": role})
    elif before != role:
        if before == "owner":
            _check_home(connection, ledger_id, user_id)
            check_owners(connection, ledger_id, principal)
        connection.execute(
            update(table(Member)).where(Member.ledger_id == ledger_id, Member.principal == principal), {"role": role}
        )
    return before is None


def remove(connection: Connection, ledger_id: int, user_id: str) -> None:
    """Take a user out of a ledger; NotFound where they are no member."""
    principal = _principal(connection, user_id)
    role = connection.execute(_role(ledger_id, principal)).scalar()
    if role is None:
        raise NotFound()
    if role == "owner":
        _check_home(connection, ledger_id, user_id)
        check_owners(connection, ledger_id, principal)
    connection.execute(delete(table(Member)).where(Member.ledger_id == ledger_id, Member.principal == principal))


def _check_home(connection: Connection, ledger_id: int, user_id: str) -> None:
    """Refuse to part a user from the ledger that unprefixed routes mean for them: they would mean nothing any more."""
    if connection.execute(select(User.ledger_id).where(User.id == user_id)).scalar() == ledger_id:
        raise LastOwner(message("It is the user's own ledger: they stay its owner for as long as they are a user."))


def _role(ledger_id: int, principal: str) -> Any:
    return select(Member.role).where(Member.ledger_id == ledger_id, Member.principal == principal)


def _principal(connection: Connection, user_id: str) -> str:
    found: str | None = connection.execute(select(User.principal).where(User.id == user_id)).scalar()
    if found is None:
        raise NotFound()
    return found
