"""Every setting and every limit: its default, its meaning, and the one place to change it.

A setting is read from the environment variable `CASHMAN_<NAME>`; tests pass a dict to `create_app`.
"""

import difflib
import ipaddress
import re
import zoneinfo
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import urlsplit

from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema

from cashman.errors import ConfigurationError
from cashman.limits import LOCK_WAIT_SECONDS_MAX, POOL_DEFAULT, SECRET_BYTES_MIN
from cashman.model.currency import CURRENCIES

PREFIX: Final = "CASHMAN_"
# Names with the prefix that bootstrap.sh, the command line and the tests read; they are no settings of the service.
FOREIGN_NAMES: Final = ("CASHMAN_ENVIRONMENT", "CASHMAN_URL", "CASHMAN_KEY", "CASHMAN_LEDGER")
FOREIGN_PREFIXES: Final = ("CASHMAN_TEST_",)

SECRET_CHARACTERS_MIN: Final = 10
"""A secret with fewer different characters than that was not made by chance."""

INSTANCE_FOLDER: Final = Path(__file__).resolve().parent.parent / "instance"

SERVER_SETTINGS: Final = {
    "PORT": ("5000", 65_535, "The port to serve on."),
    "WEB_CONCURRENCY": ("2", 1_000, "How many worker processes."),
}
"""What bootstrap.sh and gunicorn.conf.py read: each a whole number, with its default, its maximum and its meaning."""

HIDDEN: Final = "…"
"""What is shown in place of a secret."""
_PASSWORD: Final = re.compile(r"(?<=://)([^:@/?#]*):([^/?#]*)@")
_SECRET_PARAMETER: Final = re.compile(r"(?i)([?&][^=&]*(?:pass|secret|token|key)[^=&]*=)[^&]+")


def without_password(url: str) -> str:
    """A URL as it may be shown: no password, neither before the host nor among the parameters."""
    return _SECRET_PARAMETER.sub(rf"\1{HIDDEN}", _PASSWORD.sub(rf"\1:{HIDDEN}@", url))


class Config(SimpleNamespace):
    """The settings in force, one attribute each, named and typed by `ConfigSchema`."""

    def __repr__(self) -> str:
        """All of them, with what is secret left out."""
        return f"Config({', '.join(f'{name}={_shown(name, value)!r}' for name, value in vars(self).items())})"


@dataclass(frozen=True, slots=True)
class InForce:
    """A setting that is in force: under its variable, as it may be shown, and where it comes from."""

    setting: str
    value: Any
    source: str
    """`environment` or `default`."""


def _is_time_zone(name: str) -> None:
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        raise ValidationError("Not a time zone of the IANA database.") from None


def _is_currency(code: str) -> None:
    if code not in CURRENCIES:
        raise ValidationError("Not a currency of ISO 4217.")


def _is_strong(secrets: list[str]) -> None:
    for secret in secrets:
        if len(secret.encode()) < SECRET_BYTES_MIN or len(set(secret)) < SECRET_CHARACTERS_MIN:
            raise ValidationError(
                f"Has to be random and of {SECRET_BYTES_MIN} bytes or more, as `openssl rand -base64 33` makes it."
            )


def _is_key(key: str) -> None:
    _is_strong([key])
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ValidationError("Has to be printable ASCII without blanks, or no header can hold it.")


def _is_network(text: str) -> None:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise ValidationError(f"{text} is not an address or a network.") from None


_ORIGIN: Final = re.compile(r"(https?)://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?", re.ASCII)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def _is_origin(text: str) -> None:
    """An origin is compared as it stands, so it has to be written as browsers do: lower case, no default port."""
    parts = _ORIGIN.fullmatch(text)
    port = int(parts[2]) if parts and parts[2] else None
    if parts is None or port == _DEFAULT_PORTS[parts[1]] or (port or 0) > 65_535:
        raise ValidationError(f"{text} is not an origin such as https://app.example.com.")


def _is_secure_url(text: str) -> None:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port  # a port that is none raises, too
    except ValueError:
        raise ValidationError("Not a URL.") from None
    local = host in ("localhost", "127.0.0.1", "::1")
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and local)):
        raise ValidationError("Has to be an https:// URL.")


class Words(fields.List[Any]):
    """Several values in one setting, with commas or blanks between them."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        return super()._deserialize(value.replace(",", " ").split(), attr, data, **kwargs)


class ConfigSchema(Schema):
    """The settings. `metadata["description"]` is what the README's table says."""

    database_url = fields.String(
        load_default=f"sqlite:///{INSTANCE_FOLDER / 'cashman.db'}",
        metadata={"description": "Where the books are: a `sqlite:///` or `postgresql://` URL."},
    )
    database_pool = fields.Integer(
        load_default=POOL_DEFAULT,
        validate=validate.Range(3, 1000),
        metadata={"description": "Connections to PostgreSQL that each worker may have at once."},
    )
    statement_timeout = fields.Integer(
        load_default=60,
        validate=validate.Range(0, 86_400),
        metadata={
            "description": "Seconds that one statement may take on PostgreSQL before the answer is 503; 0 for no limit."
        },
    )
    lock_timeout = fields.Integer(
        load_default=int(LOCK_WAIT_SECONDS_MAX),
        validate=validate.Range(1, 86_400),
        metadata={"description": "Seconds that it may wait for a lock that others hold on PostgreSQL."},
    )
    currency = fields.String(
        load_default=None,
        allow_none=True,
        validate=_is_currency,
        metadata={"description": "The currency of a new ledger (USD); fixed once the ledger is made."},
    )
    timezone = fields.String(
        load_default="UTC",
        validate=_is_time_zone,
        metadata={"description": "The time zone in which a transaction without a `date` is booked today."},
    )
    demo = fields.Boolean(
        load_default=False,
        metadata={"description": "With `1`, a ledger that is still empty at the start is given a year to look at."},
    )

    auth = fields.String(
        load_default="auto",
        validate=validate.OneOf(["auto", "required", "open"]),
        metadata={
            "description": "Who gets in without a token: `auto`, only this machine and only until there is a user; "
            "`required`, nobody; `open`, everybody."
        },
    )
    secret_key = Words(
        fields.String(),
        load_default=None,
        validate=[validate.Length(min=1), _is_strong],
        metadata={
            "description": "What tokens are signed with, instead of a key that is made at the first start. Of several "
            "the first signs, and all are believed.",
            "secret": True,
        },
    )
    bootstrap_key = fields.String(
        load_default=None,
        validate=_is_key,
        metadata={"description": "An API key of the books' owner, for a service without people.", "secret": True},
    )
    issuer = fields.String(
        load_default=None, metadata={"description": "The `iss` of an outside issuer's tokens, such as Keycloak's."}
    )
    audience = fields.String(load_default=None, metadata={"description": "The `aud` that they have to be for."})
    jwks_url = fields.String(
        load_default=None, validate=_is_secure_url, metadata={"description": "Where the issuer's public keys are."}
    )
    trusted_proxies = Words(
        fields.String(validate=_is_network),
        load_default=(),
        metadata={"description": "Addresses or networks of proxies, whose `X-Forwarded-For` and `-Proto` count."},
    )
    cors_origins = Words(
        fields.String(validate=_is_origin),
        load_default=(),
        metadata={"description": "Origins whose pages may use the API from a browser."},
    )
    rate_limit = fields.Integer(
        load_default=60_000,
        validate=validate.Range(min=0),
        metadata={
            "description": "Requests that each caller with a token may make of each worker in a minute; 0 for no limit."
        },
    )

    log = fields.String(
        load_default="auto",
        validate=validate.OneOf(["auto", "json", "text", "off"]),
        metadata={
            "description": "The log, with a line for each request: `json`, `text`, or `auto`, text on a terminal and "
            "JSON elsewhere. `off`: no line for a request."
        },
    )
    metrics = fields.String(
        load_default="auto",
        validate=validate.OneOf(["auto", "open", "off"]),
        metadata={
            "description": "Who may read `/metrics`: `auto`, this machine, and administrators with their token; "
            "`open`, everybody; `off`, nobody."
        },
    )
    disk_free_min = fields.Integer(
        load_default=50,
        validate=validate.Range(min=0),
        metadata={
            "description": "Megabytes that have to be free beside a SQLite database for `/readyz` to say ready; 0 for "
            "no check."
        },
    )

    @validates_schema
    def check_issuer(self, data: dict[str, Any], **_: Any) -> None:
        outside = ("issuer", "audience", "jwks_url")
        missing = {name: ["Is needed with the others."] for name in outside if not data.get(name)}
        if 0 < len(missing) < len(outside):
            raise ValidationError(missing)

    @post_load
    def make_config(self, data: dict[str, Any], **_: Any) -> Config:
        return Config(**data)


def _shown(name: str, value: Any) -> Any:
    """The value of a setting as it may be shown."""
    if value and ConfigSchema().fields[name].metadata.get("secret"):
        return HIDDEN
    return without_password(value) if isinstance(value, str) else value


def in_force(environment: Mapping[str, str]) -> Iterator[InForce]:
    """Every setting that an environment comes to; raises ConfigurationError as `load` does."""
    for name, value in vars(load(environment)).items():
        variable = PREFIX + name.upper()
        yield InForce(variable, _shown(name, value), _source(variable, environment))
    for variable, (default, maximum, _) in SERVER_SETTINGS.items():
        value = environment.get(variable) or default
        if re.fullmatch("[0-9]{1,5}", value) is None or not 1 <= int(value) <= maximum:
            raise ConfigurationError(f"{variable} must be a whole number from 1 to {maximum}, not '{value}'")
        yield InForce(variable, value, _source(variable, environment))


def _source(variable: str, environment: Mapping[str, str]) -> str:
    # An empty PORT counts for none in bootstrap.sh; an empty setting of ours is what it says.
    given = variable in environment and (environment[variable] or variable not in SERVER_SETTINGS)
    return "environment" if given else "default"


def markdown() -> str:
    """The README's table of settings."""
    rows = [
        (f"`{PREFIX}{name.upper()}`", _default_text(field.load_default), field.metadata["description"])
        for name, field in ConfigSchema().fields.items()
    ]
    rows += [(f"`{variable}`", f"`{default}`", meaning) for variable, (default, _, meaning) in SERVER_SETTINGS.items()]
    lines = ["| setting | default | meaning |", "| --- | --- | --- |", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"


def _default_text(default: Any) -> str:
    text = "" if default in (None, ()) else f"`{default}`"
    return text.replace(str(INSTANCE_FOLDER), "…/instance")


def _rules(told: Any) -> list[str]:
    """What is told of a setting; of one with several values, what is told of each."""
    return [rule for rules in told.values() for rule in _rules(rules)] if isinstance(told, dict) else told


def load(environment: Mapping[str, str]) -> Config:
    """The settings that an environment asks for; raises ConfigurationError with one line about all that is wrong."""
    known = ConfigSchema().fields
    given = {}
    wrong = []
    for variable, value in environment.items():
        if not variable.startswith(PREFIX) or variable in FOREIGN_NAMES or variable.startswith(FOREIGN_PREFIXES):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name in known:
            given[name] = value
        else:
            close = difflib.get_close_matches(name, known, 1)
            hint = f" (did you mean {PREFIX}{close[0].upper()}?)" if close else ""
            wrong.append(f"{variable} is not a setting{hint}")
    try:
        config: Config = ConfigSchema().load(given)
    except ValidationError as error:
        wrong += [f"{PREFIX}{name.upper()}: {' '.join(_rules(told))}" for name, told in error.messages_dict.items()]
    if wrong:
        raise ConfigurationError("; ".join(wrong))
    return config
