"""Every setting and every limit: its default, its meaning, and the one place to change it.

A setting is read from the environment variable `CASHMAN_<NAME>`; tests pass a dict to `create_app`.
"""

import difflib
import zoneinfo
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from marshmallow import Schema, ValidationError, fields, post_load

from cashman.errors import ConfigurationError
from cashman.model.currency import CURRENCIES

PREFIX: Final = "CASHMAN_"
# Names with the prefix that bootstrap.sh and the tests read; they are no settings of the service.
FOREIGN_NAMES: Final = ("CASHMAN_ENVIRONMENT",)
FOREIGN_PREFIXES: Final = ("CASHMAN_TEST_",)

INSTANCE_FOLDER: Final = Path(__file__).resolve().parent.parent / "instance"


class Config(SimpleNamespace):
    """The settings in force, one attribute each, named and typed by `ConfigSchema`."""


def _is_time_zone(name: str) -> None:
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        raise ValidationError("Not a time zone of the IANA database.") from None


def _is_currency(code: str) -> None:
    if code not in CURRENCIES:
        raise ValidationError("Not a currency of ISO 4217.")


class ConfigSchema(Schema):
    """The settings. `metadata["description"]` is what the README's table says."""

    database_url = fields.String(
        load_default=f"sqlite:///{INSTANCE_FOLDER / 'cashman.db'}",
        metadata={"description": "Where the books are: a `sqlite:///` or `postgresql://` URL."},
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

    @post_load
    def make_config(self, data: dict[str, Any], **_: Any) -> Config:
        return Config(**data)


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
        wrong += [f"{PREFIX}{name.upper()}: {' '.join(rules)}" for name, rules in error.messages_dict.items()]
    if wrong:
        raise ConfigurationError("; ".join(wrong))
    return config
