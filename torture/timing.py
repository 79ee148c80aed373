"""What time tells: an e-mail that somebody has, and one that nobody has, are refused after the same time.

Sign-ins at the real cost of a hash go to a real server, in pairs: one of each kind, in an order of chance, so that
whatever else the machine does meanwhile happens to both. Then within each pair the two are exchanged by chance, many
times over: p is how often the medians then lie at least as far apart as they did. Strings of injections are compared
with harmless ones of the same shape in the same way, where they are signed in with and where they are searched for.
With --control the server hashes nothing for an e-mail that nobody has, and heeds a string that asks it to sleep: both
have to be seen.
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from torture.service import Broken, Caller, Service, database, run, scratch

P_MIN = 0.001
"""With a smaller one the two were told apart; by chance alone that is one run in a thousand."""
PERMUTATIONS = 2_000
TRIES_OF_USER = 8
"""So many sign-ins an account takes here; it has ten tries."""
PASSWORD = "correct horse battery"

CONTROL = """
import time

with open("gunicorn.conf.py") as file:
    exec(file.read())

_as_it_ships = post_worker_init


def post_worker_init(worker):
    from flask import request

    from cashman import access

    verify = access.verify_password
    access.verify_password = lambda kept, password: kept is not None and verify(kept, password)

    def heed():
        if b"sleep" in request.get_data() + request.query_string:
            time.sleep(0.005)

    worker.wsgi.before_request_funcs.setdefault(None, []).insert(0, heed)
    _as_it_ships(worker)
"""
"""gunicorn's settings for a server that does what it must not."""

INJECTIONS = (
    "'||pg_sleep(5)||'",
    "1;SELECT sleep(5)",
    "x' OR sleep(5)='0",
    "$(sleep(5));`sl`",
    "{{sleep(5)}}{%x%}",
    "*)(uid=sleep(5)*)",
)
HARMLESS = tuple(text.replace("sleep", "slope").replace("SELECT", "SALECT") for text in INJECTIONS)
"""Their twins of the same shape, which take as long to read and ask for nothing."""

Ask = Callable[[Caller, int], None]


def permutation_p(pairs: list[tuple[float, float]], seed: int) -> float:
    """How often chance alone sets the medians of two so far apart as they are."""
    chance = random.Random(seed)

    def apart(given: list[tuple[float, float]]) -> float:
        one, other = zip(*given, strict=True)
        return abs(statistics.median(one) - statistics.median(other))

    seen = apart(pairs)
    as_far = sum(
        apart([pair if chance.random() < 0.5 else pair[::-1] for pair in pairs]) >= seen for _ in range(PERMUTATIONS)
    )
    return (as_far + 1) / (PERMUTATIONS + 1)


def compare(caller: Caller, one: Ask, other: Ask, count: int, seed: int) -> dict[str, Any]:
    """The medians of two requests, and whether they can be told apart."""
    chance = random.Random(seed)
    pairs = []
    for number in range(-5, count):  # the first few warm up
        took = {}
        for ask in chance.sample((one, other), 2):
            begun = time.perf_counter()
            ask(caller, number)
            took[ask] = time.perf_counter() - begun
        if number >= 0:
            pairs.append((took[one], took[other]))
    return {
        "pairs": count,
        "medians in ms": tuple(round(statistics.median(kind) * 1000, 2) for kind in zip(*pairs, strict=True)),
        "p": round(permutation_p(pairs, seed), 4),
    }


def make_users(database_url: str, count: int) -> Iterator[str]:
    """Make users as the service does, and give their e-mails."""
    from cashman import current
    from cashman.index import create_app

    app = create_app({"CASHMAN_DATABASE_URL": database_url})
    access = current.access(app)
    for number in range(count):
        email = f"known{number:04}@example.com"
        access.make_user({"email": email, "password": PASSWORD}, actor="owner")
        yield email
    current.books(app).database.close()


def sign_in_with(emails: list[str]) -> Ask:
    """A sign-in with a wrong password, each account so often as it may, and each from an address of its own."""
    addresses = random.Random(emails[0])

    def ask(caller: Caller, number: int) -> None:
        email = emails[number % len(emails)]
        address = ".".join(["10", *(str(addresses.randrange(256)) for _ in range(3))])
        answer = caller.ask(
            "POST", "/tokens", {"email": email, "password": "a wrong password"}, {"X-Forwarded-For": address}
        )
        if answer is None or answer.status != 401:
            raise Broken(f"a wrong password is answered {answer}")

    return ask


def search_for(texts: tuple[str, ...]) -> Ask:
    """A search; what is searched for is nowhere."""

    def ask(caller: Caller, number: int) -> None:
        text = quote(texts[number % len(texts)], safe="")
        answer = caller.ask("GET", f"/expenses?payee={text}&q={text}&account={text}&category={text}")
        if answer is None or answer.status not in (200, 422):
            raise Broken(f"a search is answered {answer}")

    return ask


def timing(engine: str = "sqlite", *, pairs: int = 200, seed: int = 1, control: bool = False) -> dict[str, Any]:
    """Compare what is to take the same time; returns the figures."""
    count = pairs // TRIES_OF_USER + 2
    strings = -(-count // len(INJECTIONS))

    def with_each(texts: tuple[str, ...]) -> list[str]:
        return [f"{text}{number:03}@x" for number in range(strings) for text in texts]

    with scratch() as folder, database(engine, folder) as (url, _):
        known = list(make_users(url, count))
        unknown = [email.replace("known", "nobod") for email in known]
        with served(url, folder, control=control) as service, Caller(service.port) as caller:
            emails = compare(caller, sign_in_with(known), sign_in_with(unknown), pairs, seed)
            signed_in = compare(
                caller, sign_in_with(with_each(INJECTIONS)), sign_in_with(with_each(HARMLESS)), pairs, seed + 1
            )
            searched = compare(caller, search_for(INJECTIONS), search_for(HARMLESS), pairs, seed + 2)
    return {
        "known and unknown e-mails": emails,
        "injections as e-mails, and their harmless twins": signed_in,
        "injections searched for, and their harmless twins": searched,
    }


def served(database_url: str, folder: Path, *, control: bool) -> Service:
    """The server, which believes the harness about the client's address, and whose door is open to its first look."""
    service = Service(database_url, folder, workers=1)
    service.more = ("--env", "CASHMAN_TRUSTED_PROXIES=127.0.0.1", "--env", "CASHMAN_AUTH=open")
    if control:
        settings = folder / "control.conf.py"
        settings.write_text(CONTROL)
        service.more += ("--config", str(settings))
    return service


def check(figures: dict[str, Any], *, control: bool = False) -> None:
    """Broken where two were told apart; or, of the control, where they were not."""
    for what, found in figures.items():
        if not control and found["p"] < P_MIN:
            raise Broken(f"{what} can be told apart by time: {found}")
        if control and found["p"] >= P_MIN:
            raise Broken(f"the control: {what} were not told apart: {found}")


def main() -> None:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--control", action="store_true", help="a server that can be told by its time")
    given = parser.parse_args()
    figures = timing(given.engine, pairs=given.pairs, seed=given.seed, control=given.control)
    for name, value in figures.items():
        print(f"{name}: {value}")
    check(figures, control=given.control)


if __name__ == "__main__":
    sys.exit(run(main))
