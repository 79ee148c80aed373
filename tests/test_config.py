"""Settings: what is given is typed, what is wrong is told in one line, what is foreign is left alone."""

from pathlib import Path

import pytest

from cashman import config
from cashman.errors import ConfigurationError
from cashman.proxy import BehindProxy

SECRET = "IAWFp2OGDC+l9zJmHpHMbTTpWw2UBxuG/cGmCtMKS6gt"
OTHER_SECRET = "8R7EgLI3qG5i7q0vZb1oYQ2m9yJd4ubVYx5Kq0F1n/7c"
WEAK = "Has to be random and of 32 bytes or more, as `openssl rand -base64 33` makes it."


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
    assert (settings.auth, settings.rate_limit) == ("auto", 60_000)
    for name in ("secret_key", "bootstrap_key", "issuer", "audience", "jwks_url"):
        assert getattr(settings, name) is None
    assert not settings.trusted_proxies
    assert not settings.cors_origins


def test_every_setting_is_read_under_its_prefix() -> None:
    given = {
        "CASHMAN_DATABASE_URL": "sqlite:////data/cashman.db",
        "CASHMAN_CURRENCY": "JPY",
        "CASHMAN_TIMEZONE": "Europe/Berlin",
        "CASHMAN_AUTH": "required",
        "CASHMAN_LOG": "json",
        "CASHMAN_METRICS": "off",
        "CASHMAN_BOOTSTRAP_KEY": SECRET,
        "CASHMAN_ISSUER": "https://id.example.com/realms/home",
        "CASHMAN_AUDIENCE": "cashman",
        "CASHMAN_JWKS_URL": "https://id.example.com/realms/home/certs",
    }
    others = {
        "CASHMAN_SECRET_KEY": (f"{OTHER_SECRET},{SECRET}", [OTHER_SECRET, SECRET]),
        "CASHMAN_TRUSTED_PROXIES": ("10.0.0.0/8 ::1", ["10.0.0.0/8", "::1"]),
        "CASHMAN_CORS_ORIGINS": ("https://app.example.com", ["https://app.example.com"]),
        "CASHMAN_RATE_LIMIT": ("600", 600),
        "CASHMAN_DATABASE_POOL": ("5", 5),
        "CASHMAN_STATEMENT_TIMEOUT": ("0", 0),
        "CASHMAN_LOCK_TIMEOUT": ("2", 2),
        "CASHMAN_DEMO": ("1", True),
        "CASHMAN_DISK_FREE_MIN": ("500", 500),
    }
    settings = config.load(given | {name: text for name, (text, _) in others.items()})
    expected = given | {name: value for name, (_, value) in others.items()}
    assert vars(settings) == {name.removeprefix("CASHMAN_").lower(): value for name, value in expected.items()}
    assert set(vars(settings)) == set(config.ConfigSchema().fields)


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


# Who gets in.


@pytest.mark.parametrize("auth", ["auto", "required", "open"])
def test_who_gets_in_without_a_token_is_one_of_three(auth: str) -> None:
    assert config.load({"CASHMAN_AUTH": auth}).auth == auth


@pytest.mark.parametrize("auth", ["", "AUTO", "Open", "off", "none", "true", "open ", "auto,open"])
def test_no_other_word_opens_the_door(auth: str) -> None:
    assert refusal(CASHMAN_AUTH=auth) == "CASHMAN_AUTH: Must be one of: auto, required, open."


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        (SECRET, [SECRET]),
        (f"{SECRET},{OTHER_SECRET}", [SECRET, OTHER_SECRET]),
        (f" {SECRET} ,\n{OTHER_SECRET}, ", [SECRET, OTHER_SECRET]),
        (f"{SECRET} {OTHER_SECRET}", [SECRET, OTHER_SECRET]),
        ("0123456789abcdef" * 2, ["0123456789abcdef" * 2]),
        ("ä" * 7 + "0123456789abcdefgh", ["ä" * 7 + "0123456789abcdefgh"]),
    ],
)
def test_of_several_secrets_the_first_stays_first(text: str, secrets: list[str]) -> None:
    assert config.load({"CASHMAN_SECRET_KEY": text}).secret_key == secrets


WEAK_SECRETS = [
    "secret",
    "changeme" * 8,
    "a" * 64,
    "0123456789abcdef" * 2 + "\n" + "short",
    SECRET[:31],
    "012345678" * 10,
    "ä" * 15,
]


@pytest.mark.parametrize("secret", WEAK_SECRETS)
def test_a_weak_secret_is_refused_and_not_shown(secret: str) -> None:
    line = refusal(CASHMAN_SECRET_KEY=secret)
    assert line == f"CASHMAN_SECRET_KEY: {WEAK}"
    assert f"CASHMAN_SECRET_KEY: {WEAK}" == refusal(CASHMAN_SECRET_KEY=f"{SECRET},{secret}")


@pytest.mark.parametrize("text", ["", " ", ",", " , \n"])
def test_a_secret_that_is_empty_is_not_taken_for_none(text: str) -> None:
    """Or a variable that was not filled in would mean another key than the one that was meant."""
    assert refusal(CASHMAN_SECRET_KEY=text).startswith("CASHMAN_SECRET_KEY: ")


def test_a_bootstrap_key_has_to_be_random_too() -> None:
    assert config.load({"CASHMAN_BOOTSTRAP_KEY": SECRET}).bootstrap_key == SECRET
    for key in ("", "secret", "a" * 64, SECRET[:31]):
        assert refusal(CASHMAN_BOOTSTRAP_KEY=key) == f"CASHMAN_BOOTSTRAP_KEY: {WEAK}"


@pytest.mark.parametrize("key", [f"{SECRET} {SECRET}", f"{SECRET}\n", f" {SECRET}", f"{SECRET}ä", f"{SECRET}\x00"])
def test_a_bootstrap_key_that_no_header_can_hold_is_refused(key: str) -> None:
    assert refusal(CASHMAN_BOOTSTRAP_KEY=key).startswith("CASHMAN_BOOTSTRAP_KEY: ")


def test_the_settings_do_not_show_what_is_secret() -> None:
    settings = config.load({"CASHMAN_SECRET_KEY": f"{SECRET},{OTHER_SECRET}", "CASHMAN_BOOTSTRAP_KEY": SECRET[::-1]})
    for shown in (repr(settings), str(settings), f"{settings}"):
        assert not [secret for secret in (SECRET, OTHER_SECRET, SECRET[::-1]) if secret in shown]
        assert "timezone='UTC'" in shown, "the others are shown"


# An outside issuer.

ISSUER = {"CASHMAN_ISSUER": "https://id.example.com", "CASHMAN_AUDIENCE": "cashman"}


@pytest.mark.parametrize(
    "url",
    [
        "https://id.example.com/certs",
        "https://id.example.com:8443/certs?realm=home",
        "https://[2001:db8::1]/certs",
        "http://localhost:8080/certs",
        "http://127.0.0.1:8080/certs",
        "http://[::1]:8080/certs",
    ],
)
def test_an_issuers_keys_are_read_over_tls_or_from_this_machine(url: str) -> None:
    settings = config.load({**ISSUER, "CASHMAN_JWKS_URL": url})
    assert (settings.issuer, settings.audience, settings.jwks_url) == ("https://id.example.com", "cashman", url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "id.example.com/certs",
        "http://id.example.com/certs",
        "http://localhost.example.com/certs",
        "http://127.0.0.1.example.com/certs",
        "http://localhost@id.example.com/certs",
        "file:///etc/passwd",
        "ftp://id.example.com/certs",
        "https:///certs",
        "https://",
        "https://[::1",
        "https://[localhost]/certs",
        "https://id.example.com:99999/certs",
        "https://id.example.com:http/certs",
    ],
)
def test_any_other_url_of_keys_is_refused(url: str) -> None:
    assert refusal(**ISSUER, CASHMAN_JWKS_URL=url).startswith("CASHMAN_JWKS_URL: ")


@pytest.mark.parametrize("missing", ["CASHMAN_ISSUER", "CASHMAN_AUDIENCE", "CASHMAN_JWKS_URL"])
def test_an_issuer_takes_all_three_settings(missing: str) -> None:
    """Without an audience, say, tokens for another service would be believed here."""
    given = {**ISSUER, "CASHMAN_JWKS_URL": "https://id.example.com/certs"}
    assert config.load(given).issuer
    del given[missing]
    assert refusal(**given) == f"{missing}: Is needed with the others."
    if missing != "CASHMAN_JWKS_URL":
        assert refusal(**given, **{missing: ""}) == f"{missing}: Is needed with the others."


# Proxies, origins, rates.


@pytest.mark.parametrize(
    ("text", "networks"),
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("10.0.0.0/8,::1", ["10.0.0.0/8", "::1"]),
        (" 10.0.0.1\n fd00::/8 ,", ["10.0.0.1", "fd00::/8"]),
        ("::ffff:10.0.0.0/104", ["::ffff:10.0.0.0/104"]),
        ("", []),
    ],
)
def test_proxies_are_named_by_address_or_network(text: str, networks: list[str]) -> None:
    settings = config.load({"CASHMAN_TRUSTED_PROXIES": text})
    assert settings.trusted_proxies == networks
    BehindProxy(lambda *_: [], settings.trusted_proxies)


@pytest.mark.parametrize(
    "network",
    ["*", "localhost", "proxy.example.com", "10.0.0.1/8", "10.0.0.0/33", "10.0.0", "1", "10.0.0.1:80", "[::1]"],
)
def test_what_is_no_network_is_refused_and_named(network: str) -> None:
    for text in (network, f"127.0.0.1, {network}"):
        line = f"CASHMAN_TRUSTED_PROXIES: {network} is not an address or a network."
        assert refusal(CASHMAN_TRUSTED_PROXIES=text) == line


@pytest.mark.parametrize(
    "text",
    [
        "https://app.example.com",
        "http://localhost:3000",
        "http://[::1]:3000",
        "https://xn--bcher-kva.example",
        "http://192.0.2.1:8080",
        "https://app.example.com http://localhost:3000",
    ],
)
def test_origins_are_written_as_a_browser_sends_them(text: str) -> None:
    assert config.load({"CASHMAN_CORS_ORIGINS": text}).cors_origins == text.split()
    assert config.load({"CASHMAN_CORS_ORIGINS": ""}).cors_origins == []


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "app.example.com",
        "https://app.example.com/",
        "https://app.example.com/page",
        "https://app.example.com?x",
        "https://app.example.com#x",
        "https://",
        "ftp://app.example.com",
        "HTTPS://app.example.com",
        "https://App.example.com",
        "https://user@app.example.com",
        "https://*.example.com",
        "https://app.example.com:443",
        "http://app.example.com:80",
        "https://app.example.com:",
        "https://app.example.com:0443",
        "https://app.example.com:99999",
        "https://app.example.com:x",
        "https://bücher.example",
        "https://app\\example.com",
        "http://[::1",
        "http://[app]",
    ],
)
def test_what_no_browser_would_send_is_refused_and_named(origin: str) -> None:
    """Or the setting would look right, and let nobody in."""
    for text in (origin, f"https://app.example.com, {origin}"):
        line = f"CASHMAN_CORS_ORIGINS: {origin} is not an origin such as https://app.example.com."
        assert refusal(CASHMAN_CORS_ORIGINS=text) == line


@pytest.mark.parametrize(("text", "limit"), [("0", 0), ("1", 1), ("60000", 60_000)])
def test_a_rate_is_a_whole_number_of_requests(text: str, limit: int) -> None:
    assert config.load({"CASHMAN_RATE_LIMIT": text}).rate_limit == limit


@pytest.mark.parametrize("text", ["", "-1", "1.5", "1e3", "none", "60000/min", "9" * 5_000])
def test_a_rate_that_is_none_is_refused(text: str) -> None:
    assert refusal(CASHMAN_RATE_LIMIT=text).startswith("CASHMAN_RATE_LIMIT: ")


# What is told.


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
