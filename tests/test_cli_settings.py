"""`cashman config`: what is in force, where it comes from, and nothing that is secret."""

import json

import pytest
from command_line import Run, runner

from cashman import config

SECRET = "IAWFp2OGDC+l9zJmHpHMbTTpWw2UBxuG/cGmCtMKS6gt"
PASSWORD = "correct horse"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in an environment without settings."""
    for variable in [f"{config.PREFIX}{name.upper()}" for name in config.ConfigSchema().fields]:
        monkeypatch.delenv(variable, raising=False)
    for variable in config.SERVER_SETTINGS:
        monkeypatch.delenv(variable, raising=False)
    return runner(None, monkeypatch)


def in_json(run: Run, **environment: str) -> dict[str, tuple[object, str]]:
    ran = run("config", "--json", **environment)
    assert (ran.status, ran.err) == (0, "")
    return {row["setting"]: (row["value"], row["source"]) for row in json.loads(ran.out)}


def test_every_setting_is_shown_with_its_default(run: Run) -> None:
    settings = in_json(run)
    names = [f"CASHMAN_{name.upper()}" for name in config.ConfigSchema().fields]
    assert list(settings) == [*names, "PORT", "WEB_CONCURRENCY"]
    assert {source for _, source in settings.values()} == {"default"}
    assert settings["CASHMAN_TIMEZONE"] == ("UTC", "default")
    assert settings["PORT"] == ("5000", "default")


def test_what_comes_from_the_environment_says_so_also_where_it_is_the_default(run: Run) -> None:
    settings = in_json(run, CASHMAN_TIMEZONE="UTC", CASHMAN_RATE_LIMIT="5", PORT="8080", WEB_CONCURRENCY="")
    assert settings["CASHMAN_TIMEZONE"] == ("UTC", "environment")
    assert settings["CASHMAN_RATE_LIMIT"] == (5, "environment")
    assert settings["PORT"] == ("8080", "environment")
    assert settings["WEB_CONCURRENCY"] == ("2", "default")


def test_a_table_for_people_has_the_same(run: Run) -> None:
    ran = run("config", CASHMAN_TIMEZONE="Europe/Berlin")
    assert ran.status == 0
    lines = [line.split() for line in ran.out.splitlines()]
    assert ["CASHMAN_TIMEZONE", "Europe/Berlin", "environment"] in lines
    assert ["CASHMAN_CORS_ORIGINS", "default"] in lines


@pytest.mark.parametrize("form", [(), ("--json",), ("--markdown",)])
def test_no_secret_and_no_password_is_shown(run: Run, form: tuple[str, ...]) -> None:
    environment = {
        "CASHMAN_SECRET_KEY": SECRET,
        "CASHMAN_BOOTSTRAP_KEY": SECRET[::-1],
        "CASHMAN_DATABASE_URL": f"postgresql://cashman:{PASSWORD}@db.example,other.example/cashman?sslpassword={PASSWORD}",
    }
    ran = run("config", *form, **environment)
    assert ran.status == 0
    for hidden in (SECRET, SECRET[::-1], PASSWORD, "horse"):
        assert hidden not in ran.out + ran.err
    if not form:
        assert "postgresql://cashman:…@db.example,other.example/cashman?sslpassword=…" in ran.out
    assert PASSWORD not in repr(config.load(environment))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////data/cashman.db", "sqlite:////data/cashman.db"),
        ("postgresql://db/cashman", "postgresql://db/cashman"),
        ("postgresql://cashman@db/cashman", "postgresql://cashman@db/cashman"),
        ("postgresql://cashman:p@db:5432/cashman", "postgresql://cashman:…@db:5432/cashman"),
        ("postgresql://cashman:p@ss:w@db/cashman", "postgresql://cashman:…@db/cashman"),
        ("postgresql://:p@db/cashman", "postgresql://:…@db/cashman"),
        ("postgresql:///cashman?user=u&password=p&host=/run", "postgresql:///cashman?user=u&password=…&host=/run"),
        ("postgresql:///cashman?host=/run:5432@x", "postgresql:///cashman?host=/run:5432@x"),
        ("https://id.example.com/certs", "https://id.example.com/certs"),
    ],
)
def test_a_password_is_hidden_wherever_a_url_has_it(url: str, shown: str) -> None:
    assert config.without_password(url) == shown


def test_a_wrong_setting_is_2_and_one_line(run: Run) -> None:
    ran = run("config", CASHMAN_CURENCY="EUR")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == "cashman: CASHMAN_CURENCY is not a setting (did you mean CASHMAN_CURRENCY?)\n"


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("CASHMAN_DATABASE_URL", "mysql://db.example/books", "mysql is neither sqlite nor postgresql"),
        ("CASHMAN_DATABASE_URL", "", "CASHMAN_DATABASE_URL is not a database URL"),
        ("PORT", "65536", "PORT must be a whole number from 1 to 65535, not '65536'"),
        ("WEB_CONCURRENCY", "some", "WEB_CONCURRENCY must be a whole number from 1 to 1000, not 'some'"),
    ],
)
def test_what_would_stop_the_start_is_wrong_here_too(run: Run, variable: str, value: str, told: str) -> None:
    ran = run("config", **{variable: value})
    assert (ran.status, ran.out) == (2, "")
    assert told in ran.err


def test_the_settings_of_a_service_elsewhere_are_not_known_here(run: Run) -> None:
    ran = run("--url", "http://127.0.0.1:1", "config")
    assert ran.status == 2
    assert "not with --url" in ran.err
