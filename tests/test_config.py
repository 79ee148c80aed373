"""Settings: what is given is typed, what is wrong is told in one line, what is foreign is left alone."""

from pathlib import Path

import pytest

from cashman import config
from cashman.errors import ConfigurationError


def refusal(**environment: str) -> str:
    """The line that a wrong environment is refused with."""
    with pytest.raises(ConfigurationError) as refused:
        config.load(environment)
    line = str(refused.value)
    assert "\n" not in line
    return line


def test_nothing_configured_is_a_file_beside_the_code_in_dollars_and_utc() -> None:
    settings = config.load({})
    assert settings.database_url == f"sqlite:///{Path(config.__file__).parents[1] / 'instance' / 'cashman.db'}"
    assert (settings.currency, settings.timezone) == (None, "UTC")


def test_every_setting_is_read_under_its_prefix() -> None:
    settings = config.load(
        {
            "CASHMAN_DATABASE_URL": "sqlite:////data/cashman.db",
            "CASHMAN_CURRENCY": "JPY",
            "CASHMAN_TIMEZONE": "Europe/Berlin",
        }
    )
    assert settings.database_url == "sqlite:////data/cashman.db"
    assert (settings.currency, settings.timezone) == ("JPY", "Europe/Berlin")


def test_what_is_not_meant_for_the_service_is_left_alone() -> None:
    foreign = {"PATH": "/bin", "CURRENCY": "x", "CASHMAN": "x", "CASHMAN_TEST_STRICT": "1"}
    foreign |= dict.fromkeys(config.FOREIGN_NAMES, "x")
    assert config.load(foreign) == config.load({})


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../../etc/passwd", "/etc/localtime", "Europe", "utc\0", "é"])
def test_a_time_zone_that_is_none_is_refused(zone: str) -> None:
    assert refusal(CASHMAN_TIMEZONE=zone) == "CASHMAN_TIMEZONE: Not a time zone of the IANA database."


@pytest.mark.parametrize("code", ["", "usd", "XYZ", "EURO", "$"])
def test_a_currency_that_is_none_is_refused(code: str) -> None:
    assert refusal(CASHMAN_CURRENCY=code) == "CASHMAN_CURRENCY: Not a currency of ISO 4217."


def test_an_unknown_setting_is_refused_and_the_likely_one_named() -> None:
    assert refusal(CASHMAN_CURENCY="USD") == "CASHMAN_CURENCY is not a setting (did you mean CASHMAN_CURRENCY?)"
    assert refusal(CASHMAN_XYZZY="1") == "CASHMAN_XYZZY is not a setting"


def test_all_that_is_wrong_is_told_at_once() -> None:
    line = refusal(CASHMAN_XYZZY="1", CASHMAN_CURRENCY="usd", CASHMAN_TIMEZONE="Mars")
    assert [part.partition(":")[0] for part in line.split("; ")] == [
        "CASHMAN_XYZZY is not a setting",
        "CASHMAN_CURRENCY",
        "CASHMAN_TIMEZONE",
    ]


def test_every_setting_says_what_it_means() -> None:
    for name, field in config.ConfigSchema().fields.items():
        assert field.metadata["description"].endswith("."), name
