"""Who may come in, and what tokens are signed with: `cashman user`, `cashman keys`."""

from typing import Any, Final

import click
import msgspec
from marshmallow import ValidationError

from cashman.access import Access
from cashman.cli.service import COMMAND_LINE, open_access
from cashman.cli.tables import JsonArray, as_json
from cashman.errors import NotFound
from cashman.limits import PAGE_ROWS_MAX
from cashman.model.user import NewUserSchema

SHOWN: Final = ("id", "email", "name", "admin", "revoked")


@click.group()
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
@as_json
def list_users(json: bool) -> None:
    """List the users: id, e-mail, and what is particular."""
    access, after, array = open_access(), "", JsonArray()
    while page := access.users(after, PAGE_ROWS_MAX):
        if json:
            array.add(msgspec.Raw(msgspec.json.encode({name: getattr(one, name) for name in SHOWN})) for one in page)
        else:
            for one in page:
                marks = [mark for mark, holds in (("administrator", one.admin), ("revoked", one.revoked)) if holds]
                click.echo(" ".join([one.id, one.email, *(f"({mark})" for mark in marks)]))
        after = page[-1].id
    if json:
        array.end()


@click.group()
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
