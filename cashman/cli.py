"""The command line: `python -m cashman`, or `./bootstrap.sh cli`."""

import os
import sys
from typing import Any

import click
import msgspec
from marshmallow import ValidationError

from cashman import config, db
from cashman.access import Access
from cashman.access.signing import signing_keys
from cashman.errors import ConfigurationError, NotFound, Problem
from cashman.journal import Head
from cashman.ledger import Books
from cashman.limits import FEED_ENTRIES_MAX, PAGE_ROWS_MAX
from cashman.model.user import NewUserSchema
from cashman.verify import Tampered, parse_receipt
from cashman.verify import verify as verify_books

COMMAND_LINE = "command line"
"""The actor in the journal."""
CANNOT = 2
"""The exit status for what could not be done at all."""


def open_books() -> Books:
    """The books that the settings name; they have to be there already."""
    return _open(config.load(os.environ))


def _open(settings: config.Config) -> Books:
    books = Books(db.connect(settings.database_url), currency=settings.currency, timezone=settings.timezone)
    if not books.database.exists():
        raise ConfigurationError("there are no books where CASHMAN_DATABASE_URL says")
    return books


def open_access() -> Access:
    """Who may use those books."""
    settings = config.load(os.environ)
    books = _open(settings)
    return Access(books, signing_keys(books.database, settings.secret_key))


class Receipt(click.ParamType[Head]):
    """SEQUENCE:HASH, as the header Cashman-Head gives it."""

    name = "SEQUENCE:HASH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Head:
        try:
            return parse_receipt(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cashman() -> None:
    """Keep the books from the command line; CASHMAN_DATABASE_URL says where they are."""


@cashman.command()
@click.option("--head", type=Receipt(), help="A receipt kept outside, which has to be in the chain.")
def verify(head: Head | None) -> None:
    """Prove the books from their journal.

    Exit status 0: sound. 1: tampered, and the first bad row is named. 2: could not be checked.
    """
    try:
        for ledger in verify_books(open_books().database, head):
            click.echo(
                f"sound: ledger {ledger.ledger}, {ledger.entries} entries, "
                f"{ledger.transactions} transactions, head {ledger.head}"
            )
    except Tampered as finding:
        click.echo(f"TAMPERED: {finding}", err=True)
        sys.exit(1)


@cashman.command()
@click.option("--after", default=0, show_default=True, help="The sequence number of the last entry that you have.")
def journal(after: int) -> None:
    """Write the journal to standard output as NDJSON, as GET /journal gives it: to keep, and to check elsewhere."""
    books = open_books().own_ledger()
    while True:
        rows, _ = books.journal(after, FEED_ENTRIES_MAX)
        for row in rows:
            words = None if row.words is None else msgspec.Raw(row.words.encode())
            click.echo(msgspec.json.encode({"entry": row.entry, "hash": row.hash.hex(), "words": words}))
        if len(rows) < FEED_ENTRIES_MAX:
            return
        after = rows[-1].sequence


@cashman.group()
def user() -> None:
    """Say who may come in."""


@user.command()
@click.argument("email")
@click.option("--name", help="What others see.")
@click.option("--admin", is_flag=True, help="May make and change users; the first user always may.")
@click.password_option(help="Asked for where it is not given; given here, other processes may see it.")
def add(email: str, name: str | None, admin: bool, password: str) -> None:
    """Make a user. The first one takes over the books, and shuts the open door for good."""
    given = {"email": email, "password": password, "admin": admin} | ({} if name is None else {"name": name})
    made = open_access().make_user(_checked(given), actor=COMMAND_LINE)
    click.echo(f"{made.id} {made.email}{' (administrator)' if made.admin else ''}")


@user.command()
@click.argument("email")
@click.password_option(help="Asked for where it is not given; given here, other processes may see it.")
def passwd(email: str, password: str) -> None:
    """Give a user another password; all their sessions end."""
    access = open_access()
    access.change_user(_id_of(access, email), _checked({"email": email, "password": password}))


@user.command()
@click.argument("email")
def revoke(email: str) -> None:
    """Keep a user out from now on, with every token and key; `restore` lets them in again."""
    access = open_access()
    access.change_user(_id_of(access, email), {"revoked": True})


@user.command()
@click.argument("email")
def restore(email: str) -> None:
    """Let a revoked user in again."""
    access = open_access()
    access.change_user(_id_of(access, email), {"revoked": False})


@user.command("list")
def list_users() -> None:
    """List the users: id, e-mail, and what is particular."""
    access, after = open_access(), ""
    while page := access.users(after, PAGE_ROWS_MAX):
        for one in page:
            marks = [mark for mark, holds in (("administrator", one.admin), ("revoked", one.revoked)) if holds]
            click.echo(" ".join([one.id, one.email, *(f"({mark})" for mark in marks)]))
        after = page[-1].id


@cashman.group()
def keys() -> None:
    """What tokens are signed with."""


@keys.command()
def rotate() -> None:
    """Sign with a new key from now on; nobody is signed out."""
    open_access().rotate_keys()


def _id_of(access: Access, email: str) -> str:
    try:
        found: str = access.user_with(email).id
    except NotFound:
        raise click.ClickException("no user has this e-mail") from None
    return found


def _checked(given: dict[str, Any]) -> dict[str, Any]:
    """A user's fields as the wire takes them; ClickException with the first rule that one breaks."""
    try:
        loaded: dict[str, Any] = NewUserSchema().load(given)
    except ValidationError as error:
        name, rules = next(iter(error.messages_dict.items()))
        raise click.ClickException(f"{name}: {rules[0]}") from None
    return loaded


def main() -> None:
    """Run a command; what it cannot do is said in one line."""
    try:
        cashman(prog_name="cashman")
    except (ConfigurationError, Problem) as error:
        detail = getattr(error, "detail", None) or str(error)
        click.echo(f"cashman: {detail}", err=True)
        sys.exit(CANNOT)
