"""The app: wires configuration, the books and the features; holds no logic of its own."""

import logging
import os
from collections.abc import Mapping

from flask import Blueprint, Flask

from cashman import (
    accounts,
    api_keys,
    assets,
    categories,
    config,
    current,
    db,
    documentation,
    door,
    entry,
    exports,
    headers,
    health,
    imports,
    journal_feed,
    ledgers,
    page_sessions,
    problems,
    reports,
    tokens,
    transactions,
    transfers,
    users,
    wire,
)
from cashman.access import Access
from cashman.access.issuer import Issuer
from cashman.access.signing import signing_keys
from cashman.config import Config
from cashman.dashboard import entrance, overview, people, sharing
from cashman.dashboard import imports as import_page
from cashman.dashboard import transactions as transactions_pages
from cashman.ledger import Books
from cashman.limits import DOCUMENT_BYTES_MAX
from cashman.observability import requests
from cashman.proxy import BehindProxy


def create_app(environment: Mapping[str, str] | None = None) -> Flask:
    """The service, by the CASHMAN_* settings of an environment; the database is opened at the first use."""
    settings = config.load(os.environ if environment is None else environment)
    app = wire.App(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = DOCUMENT_BYTES_MAX
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # //expenses is no resource, and not a redirect in HTML
    app.url_map.converters |= {
        "ulid": wire.UlidConverter,
        "number": wire.NumberConverter,
        "mapping_name": wire.NameConverter,
    }
    equip(app, settings)
    requests.init_app(app)  # before whatever answers: each request is noted
    headers.init_app(app, settings.cors_origins)  # before whatever refuses: a preflight carries no token
    app.wsgi_app = BehindProxy(app.wsgi_app, settings.trusted_proxies)  # type: ignore[method-assign]
    problems.init_app(app)
    door.init_app(app)
    app.before_request(wire.refuse_stray_query)
    app.before_request(wire.refuse_stray_key)
    of_a_ledger = (
        *transactions.blueprints,
        transfers.bp,
        accounts.bp,
        categories.bp,
        categories.tags_bp,
        reports.bp,
        imports.bp,
        exports.bp,
        entry.bp,
        ledgers.bp,
        journal_feed.bp,
        overview.bp,
        transactions_pages.bp,
        import_page.bp,
        sharing.of_ledger,
    )
    # The same once more for every ledger that the path names.
    named = Blueprint(documentation.OF_A_NAMED_LEDGER, __name__, url_prefix="/ledgers/<ulid:ledger_ulid>")
    for blueprint in of_a_ledger:
        named.register_blueprint(blueprint)
    for blueprint in (
        *of_a_ledger,
        named,
        ledgers.shared,
        users.bp,
        tokens.bp,
        page_sessions.bp,
        api_keys.bp,
        documentation.bp,
        health.bp,
        overview.index,
        entrance.bp,
        people.bp,
        sharing.bp,
        assets.bp,
    ):
        app.register_blueprint(blueprint)
    return app


def equip(app: Flask, settings: Config) -> None:
    """Give an app the books that its settings name, and who may use them."""
    database = db.connect(
        settings.database_url, settings.database_pool, settings.statement_timeout, settings.lock_timeout
    )
    books = Books(database, currency=settings.currency, timezone=settings.timezone)
    keys = signing_keys(books.database, settings.secret_key)
    issuer = Issuer(settings.issuer, settings.audience, settings.jwks_url) if settings.issuer else None
    current.init_app(app, books, Access(books, keys, issuer, settings.bootstrap_key))
    app.extensions[door.KEY] = door.Door(settings)
    health.init_app(app, settings)
    requests.equip(app, settings)


logging.getLogger("cashman").addHandler(logging.NullHandler())
app = create_app()
