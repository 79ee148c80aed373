"""How a command reaches the books."""

import os

from cashman import config, db
from cashman.access import Access
from cashman.access.signing import signing_keys
from cashman.errors import ConfigurationError
from cashman.ledger import Books

COMMAND_LINE = "command line"
"""The actor in the journal."""


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
