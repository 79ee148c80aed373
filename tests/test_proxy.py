"""What a proxy tells of a request counts where the proxy is trusted, and nowhere else; gunicorn believes nobody."""

import re
import shutil
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import serving
from flask import Flask, request
from hypothesis import given
from hypothesis import strategies as st
from serving import ROOT, Service
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import create_environ

from cashman.index import create_app
from cashman.proxy import ENTRY_CHARACTERS_MAX, HOPS_MAX, PROXIED, BehindProxy

PROXY = "10.0.0.1"
CLIENT = "198.51.100.7"
STRANGER = "203.0.113.9"


def handed_on(trusted: list[str], peer: str, headers: dict[str, str], app: Any = None) -> dict[str, Any]:
    """The environment that the service is given for a request of a peer."""
    seen: dict[str, Any] = {}

    def keep(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ)
        return []

    environ = create_environ("/expenses", headers=headers)
    environ["REMOTE_ADDR"] = peer
    (app or BehindProxy)(keep, trusted)(environ, lambda *_: lambda _: None)
    return seen


def client_of(trusted: list[str], peer: str, forwarded_for: str) -> str:
    """The address that a request counts as."""
    address: str = handed_on(trusted, peer, {"X-Forwarded-For": forwarded_for})["REMOTE_ADDR"]
    return address


# Who is believed.


def test_a_trusted_proxy_is_believed_about_address_and_scheme() -> None:
    told = {"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "https"}
    environ = handed_on([PROXY], PROXY, told)
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], environ[PROXIED]) == (CLIENT, "https", True)
    assert PROXIED == "cashman.proxied"


@pytest.mark.parametrize("trusted", [[], [PROXY], ["10.0.0.0/8", "::1", "fd00::/8"]], ids=str)
@pytest.mark.parametrize("peer", [STRANGER, "2001:db8::9", "127.0.0.1", "::ffff:203.0.113.9", "", "unix:", "\x00"])
def test_from_anybody_else_the_headers_change_nothing(trusted: list[str], peer: str) -> None:
    told = {
        "X-Forwarded-For": f"{CLIENT}, {PROXY}",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Ssl": "on",
        "X-Forwarded-Protocol": "ssl",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Prefix": "/evil",
        "X-Real-IP": CLIENT,
        "Forwarded": f"for={CLIENT};proto=https",
    }
    plain, with_headers = handed_on(trusted, peer, {}), handed_on(trusted, peer, told)
    assert PROXIED not in with_headers
    sent = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in told.items()}
    assert {name: with_headers[name] for name in sent} == sent, "who refuses forwarded requests has to see them"
    ignored = {"werkzeug.request", "wsgi.input", "wsgi.errors"}
    assert {name: value for name, value in with_headers.items() if name not in {*sent, *ignored}} == {
        name: value for name, value in plain.items() if name not in ignored
    }


def test_this_machine_is_not_trusted_unless_it_is_named() -> None:
    told = {"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "https"}
    for trusted, address, scheme in (([], "127.0.0.1", "http"), (["127.0.0.0/8"], CLIENT, "https")):
        environ = handed_on(trusted, "127.0.0.1", told)
        assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == (address, scheme)


def test_the_same_forgery_deceives_what_goes_by_the_number_of_proxies() -> None:
    """The control: werkzeug's ProxyFix believes whoever sends the header."""
    told = {"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "https"}
    environ = handed_on([], STRANGER, told, app=lambda app, _: ProxyFix(app))
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == (CLIENT, "https")
    environ = handed_on([], STRANGER, told)
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == (STRANGER, "http")


@pytest.mark.parametrize(
    ("trusted", "peer", "is_trusted"),
    [
        (["10.0.0.0/8"], "10.255.255.255", True),
        (["10.0.0.0/8"], "11.0.0.0", False),
        (["10.0.0.1"], "10.0.0.2", False),
        (["192.0.2.1", "10.0.0.1"], "10.0.0.1", True),
        (["fd00::/8"], "fd12::1", True),
        (["fd00::/8"], "fe80::1", False),
        (["fd00::/8"], "FD12::1", True),
        (["0.0.0.0/0"], "::1", False),
        (["::/0"], "10.0.0.1", False),
        (["10.0.0.1"], "::ffff:10.0.0.1", True),
        (["10.0.0.1"], "::FFFF:0a00:0001", True),
        (["10.0.0.1"], "::10.0.0.1", False),
        (["::ffff:10.0.0.1"], "10.0.0.1", True),
        (["::ffff:10.0.0.0/104"], "10.9.9.9", True),
        (["::ffff:10.0.0.0/104"], "11.9.9.9", False),
        (["::ffff:0:0/96"], "192.0.2.1", True),
        (["::ffff:10.0.0.1"], "::ffff:10.0.0.1", True),
        (["fe80::/10"], "fe80::1%eth0", True),
    ],
)
def test_a_peer_is_trusted_by_its_network(trusted: list[str], peer: str, is_trusted: bool) -> None:
    assert client_of(trusted, peer, CLIENT) == (CLIENT if is_trusted else str(ip_address(peer)).removeprefix("::ffff:"))
    assert handed_on(trusted, peer, {}).get(PROXIED, False) is is_trusted


def test_a_trusted_proxy_that_tells_nothing_still_leaves_its_mark() -> None:
    """Or what a proxy on this machine hands on would look like a request of this machine's own."""
    environ = handed_on(["127.0.0.1"], "127.0.0.1", {})
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("127.0.0.1", "http")
    assert environ[PROXIED] is True


def test_no_header_can_leave_the_mark() -> None:
    for name in ("cashman.proxied", "Cashman-Proxied", "cashman_proxied"):
        assert PROXIED not in handed_on([PROXY], STRANGER, {name: "1"})


def test_a_peer_of_a_socket_for_both_versions_counts_as_its_ipv4() -> None:
    for trusted in ([], [PROXY]):
        assert handed_on(trusted, f"::ffff:{STRANGER}", {})["REMOTE_ADDR"] == STRANGER


def test_who_was_a_stranger_once_is_looked_at_again_each_time() -> None:
    """One instance serves all: what it keeps of one peer is that peer's alone."""
    behind = BehindProxy(lambda environ, _: [environ["REMOTE_ADDR"].encode()], [PROXY])
    for peer, address in [(PROXY, CLIENT), (STRANGER, STRANGER), (CLIENT, CLIENT), (PROXY, CLIENT)] * 2:
        environ = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": CLIENT}
        assert [address.encode()] == behind(environ, lambda *_: lambda _: None)


def test_a_request_without_a_peers_address_is_served() -> None:
    assert BehindProxy(lambda *_: [b"served"], ["::/0", "0.0.0.0/0"])({}, lambda *_: lambda _: None) == [b"served"]


# The chain.


@pytest.mark.parametrize(
    ("forwarded_for", "address"),
    [
        (f"{CLIENT}", CLIENT),
        (f"{STRANGER}, {CLIENT}", CLIENT),
        (f"{STRANGER}, {CLIENT}, 10.0.0.3, 10.0.0.2", CLIENT),
        (f"{STRANGER},{CLIENT},10.0.0.2", CLIENT),
        (f"10.0.0.9, {CLIENT}", CLIENT),
        (f"127.0.0.1, {CLIENT}", CLIENT),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("127.0.0.1", "127.0.0.1"),
        (f"{CLIENT}:52100, 10.0.0.2:8080", CLIENT),
        ("2001:db8::7", "2001:db8::7"),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:52100, 10.0.0.2", "2001:db8::7"),
        (f"::ffff:{CLIENT}", CLIENT),
        (f"[::ffff:{CLIENT}]:52100, ::ffff:10.0.0.2", CLIENT),
        (f"\t{CLIENT} , 10.0.0.2\t", CLIENT),
    ],
)
def test_the_client_is_the_nearest_address_that_is_not_trusted(forwarded_for: str, address: str) -> None:
    assert client_of(["10.0.0.0/24"], PROXY, forwarded_for) == address


NO_ADDRESSES = [
    "",
    " ",
    "unknown",
    "_hidden",
    "localhost",
    "client.example.com",
    "1",
    "3325256711",
    "0xc6.0x33.0x64.0x7",
    "198.51.100",
    "198.51.100.07",
    "198.51.100.256",
    "198.51.100.7/32",
    "198.51.100.7:",
    "198.51.100.7:http",
    "198.51.100.7:123456",
    "[198.51.100.7]",
    "[198.51.100.7]:80",
    "198.51.100.7]",
    "[2001:db8::7",
    "2001:db8::7]",
    "[2001:db8::7]80",
    "[[2001:db8::7]]",
    "[]",
    "[]:80",
    "2001:db8::7%eth0",
    "[fe80::1%25eth0]",
    "2001:db8:::7",
    "::ffff:198.51.100.256",
    '"198.51.100.7"',
    "for=198.51.100.7",
    "198.51.100.7 198.51.100.8",
    "198.51.100.7\n",
    "198.51.100.7\x00",
    "\uff11\uff19\uff18.51.100.7",  # digits, but not ASCII's
    "2001:db8:0:0:0:0:0:7" + " " * ENTRY_CHARACTERS_MAX,
    "7" * 100_000,
]


@pytest.mark.parametrize("entry", NO_ADDRESSES, ids=lambda entry: repr(entry[:30]))
def test_what_is_no_address_ends_the_chain_at_the_proxy_that_told_of_it(entry: str) -> None:
    for forwarded_for, address in (
        (entry, PROXY),
        (f"{STRANGER},{entry}", PROXY),
        (f"{STRANGER},{entry},10.0.0.2", "10.0.0.2"),
        (f"{entry},{CLIENT}", CLIENT),
    ):
        environ = {"REMOTE_ADDR": PROXY, "HTTP_X_FORWARDED_FOR": forwarded_for, "wsgi.url_scheme": "http"}
        BehindProxy(lambda *_: [], ["10.0.0.0/24"])(environ, lambda *_: lambda _: None)
        assert environ["REMOTE_ADDR"] == address


def test_a_chain_is_followed_so_far_and_no_farther() -> None:
    hops = ", 10.0.0.2" * HOPS_MAX
    assert client_of(["10.0.0.0/24"], PROXY, CLIENT + hops.removesuffix(", 10.0.0.2")) == CLIENT
    assert client_of(["10.0.0.0/24"], PROXY, CLIENT + hops) == CLIENT
    assert client_of(["10.0.0.0/24"], PROXY, f"{STRANGER}, {CLIENT}{hops}") == "10.0.0.2"


proxies = st.integers(0, 255).map(lambda number: f"10.0.0.{number}")
written = st.sampled_from(["{}", " {}", "{} ", "\t{}"])
entries = st.one_of(proxies, st.ip_addresses().map(str), st.sampled_from(NO_ADDRESSES), st.text(max_size=70))


@given(st.lists(st.tuples(written, entries), max_size=HOPS_MAX))
def test_the_client_of_any_chain_is_found_by_going_back_through_it(chain: list[tuple[str, str]]) -> None:
    """What it is compared with goes forward: each whom all that follow are trusted to have told of is the client."""
    forwarded_for = ",".join(form.format(entry) for form, entry in chain)
    parts = forwarded_for.split(",")[-HOPS_MAX:]
    address = PROXY
    for number, part in enumerate(parts):
        believed = all(is_proxy(later) for later in parts[number + 1 :])
        if believed and is_address(part.strip(" \t")) and len(part) <= ENTRY_CHARACTERS_MAX:
            found = ip_address(part.strip(" \t"))
            address = str(getattr(found, "ipv4_mapped", None) or found)
            break
    environ = {"REMOTE_ADDR": PROXY, "HTTP_X_FORWARDED_FOR": forwarded_for}
    BehindProxy(lambda *_: [], ["10.0.0.0/24"])(environ, lambda *_: lambda _: None)
    assert environ["REMOTE_ADDR"] == address


def is_address(text: str) -> bool:
    """Whether it is an address without more."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def is_proxy(part: str) -> bool:
    """Whether it is an address of the trusted network."""
    return re.fullmatch(r"10\.0\.0\.(0|[1-9][0-9]{0,2})", part.strip(" \t")) is not None


# The scheme.


@pytest.mark.parametrize(
    ("told", "scheme"),
    [
        ("https", "https"),
        ("HTTPS", "https"),
        (" https\t", "https"),
        ("http", "http"),
        ("http, https", "https"),
        ("https, http", "http"),
        ("https,", "http"),
        ("", "http"),
        ("wss", "http"),
        ("https://", "http"),
        ("on", "http"),
        ("javascript", "http"),
        ("https http", "http"),
    ],
)
def test_only_http_and_https_are_schemes_and_of_several_the_last_counts(told: str, scheme: str) -> None:
    assert handed_on([PROXY], PROXY, {"X-Forwarded-Proto": told})["wsgi.url_scheme"] == scheme


def test_a_proxy_that_came_by_https_itself_can_say_that_the_client_did_not() -> None:
    environ = create_environ("/", "https://localhost", headers={"X-Forwarded-Proto": "http"})
    environ["REMOTE_ADDR"] = PROXY
    BehindProxy(lambda *_: [], [PROXY])(environ, lambda *_: lambda _: None)
    assert environ["wsgi.url_scheme"] == "http"


# The service.


def app_that_echoes(**settings: str) -> Flask:
    """The service, with a view that shows how a request counts."""
    app = create_app({"CASHMAN_DATABASE_URL": "sqlite:////nowhere/cashman.db", "CASHMAN_AUTH": "open", **settings})
    app.add_url_rule("/echo", "echo", lambda: {"address": request.remote_addr, "url": request.url})
    return app


def test_the_service_believes_whom_the_setting_names() -> None:
    told = {"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}
    trusting = app_that_echoes(CASHMAN_TRUSTED_PROXIES="127.0.0.1 fd00::/8")
    for app, peer, address, scheme in (
        (trusting, "127.0.0.1", CLIENT, "https"),
        (trusting, "fd00::1", CLIENT, "https"),
        (trusting, STRANGER, STRANGER, "http"),
        (app_that_echoes(), "127.0.0.1", "127.0.0.1", "http"),
    ):
        answer = app.test_client().get("/echo", headers=told, environ_overrides={"REMOTE_ADDR": peer})
        assert answer.json == {"address": address, "url": f"{scheme}://localhost/echo"}


# gunicorn.

FORWARDED = (
    {"X-Forwarded-Proto": "https"},
    {"X-Forwarded-Ssl": "on"},
    {"X-Forwarded-Protocol": "ssl"},
    {"X-Forwarded-For": CLIENT},
)
FOR_EVERYBODY = {"FORWARDED_ALLOW_IPS": "*", "WEB_CONCURRENCY": "1"}


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[Any]:
    """Starts services, which end with the test."""
    services: list[Service] = []

    def start(**environment: str) -> Service:
        folder = tmp_path / str(len(services))
        folder.mkdir()
        environment = {"CASHMAN_AUTH": "open", **environment}
        services.append(Service(folder, f"sqlite:///{folder / 'cashman.db'}", **environment))
        return services[-1]

    yield start
    for service in services:
        service.remove()


def came_by_https(service: Service, headers: dict[str, str]) -> bool:
    """Whether the service takes a request for one that came by https."""
    connection = service.connect()
    try:
        connection.request("GET", "/problems/not-found", headers=headers)
        answer = connection.getresponse()
        answer.read()
    finally:
        connection.close()
    assert answer.status == 200
    return "Strict-Transport-Security" in answer.headers


def test_gunicorn_believes_nobody_whatever_its_environment_says(starter: Any) -> None:
    for environment in (FOR_EVERYBODY, {"GUNICORN_CMD_ARGS": "--forwarded-allow-ips=*"}):
        service = starter(**environment)
        assert [came_by_https(service, headers) for headers in FORWARDED] == [False] * 4, environment
        service.stop()


def test_without_our_configuration_gunicorn_would_believe(
    starter: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above."""
    shutil.copy(ROOT / "gunicorn.conf.py", tmp_path)
    with (tmp_path / "gunicorn.conf.py").open("a") as file:
        file.write("\ndel forwarded_allow_ips, secure_scheme_headers\n")
    monkeypatch.setattr(serving, "ROOT", tmp_path)
    service = starter(PYTHONPATH=str(ROOT), **FOR_EVERYBODY)
    assert [came_by_https(service, headers) for headers in FORWARDED] == [True, True, True, False]


def test_a_real_server_believes_the_proxy_that_is_named_about_scheme_and_address(starter: Any) -> None:
    """The address is the one that stands in gunicorn's log of requests."""
    arguments = {"GUNICORN_CMD_ARGS": "--access-logfile=- --access-logformat=from=%(h)s="}
    trusting = starter(CASHMAN_TRUSTED_PROXIES="192.0.2.0/24, 127.0.0.1", **arguments)
    distrusting = starter(CASHMAN_TRUSTED_PROXIES="192.0.2.0/24", **arguments)
    for service, believed in ((trusting, True), (distrusting, False)):
        assert came_by_https(service, {"X-Forwarded-Proto": "https", "X-Forwarded-For": f"evil, {CLIENT}"}) is believed
        assert not came_by_https(service, {"X-Forwarded-Proto": "http"})
        assert not came_by_https(service, {"X_Forwarded_Proto": "https", "X_Forwarded_For": STRANGER})
        assert not came_by_https(service, {})
        service.stop()
        seen = set(re.findall("from=(.*?)=", service.log.read_text()))
        assert seen == ({CLIENT, "127.0.0.1"} if believed else {"127.0.0.1"})
