"""Clocks that step while Cashman serves: an hour back, ten days back, ten years on, and right again.

A library that the server loads first (clock.c) gives it its clock, from a file that the harness changes. (libfaketime
breaks the sleeps of Python 3.11, which are until an instant.) After each step the harness records, repeats what
it has recorded before under the same key and under the same id, and asks for what is pending, with an access token and
with the refresh token of a sign-in. `recorded_at` has to grow with every entry, whatever the clock does; nothing is
booked twice while its key is kept; and the books are sound, by a verifier whose clock is right.

With --control the books are made to forget, before each step, when their newest entry was recorded: then entries are
recorded before those in front of them, and both verifiers have to say so, too.
"""

import itertools
import json
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import text

from cashman import db
from torture.service import (
    REPOSITORY,
    Answer,
    Broken,
    Caller,
    Impossible,
    Service,
    arguments,
    database,
    export_journal,
    judge,
    run,
    scratch,
    settings,
    ulid,
    verify,
    verify_independently,
)

HOUR, DAY = 3600, 86_400
STEPS = {"an hour back": -HOUR, "10 days back": -10 * DAY, "10 years on": 3652 * DAY, "right again": 0}
"""By how many seconds the clock is off."""
PASSWORD = "correct horse battery"
LONG_AGO = {"long_ago": "1970-01-01T00:00:00.000000Z"}
USER = {"email": "clock@example.com", "password": PASSWORD}


class Clock:
    """The clock that a server has."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            raise Impossible("no C compiler is installed")
        library = folder / "clock.so"
        source = REPOSITORY / "torture" / "clock.c"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        file = folder / "clock"
        file.write_bytes(bytes(8))
        self._file = file.open("r+b", buffering=0)
        self.environment = {"LD_PRELOAD": str(library), "CASHMAN_TEST_CLOCK": str(file)}

    def __enter__(self) -> "Clock":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def step(self, seconds: int) -> None:
        """Let it be off by so many seconds from now on."""
        self._file.seek(0)
        self._file.write(struct.pack("=q", seconds))


class Household:
    """One client, which notes what each step of the clock leads to."""

    def __init__(self, caller: Caller, seed: int) -> None:
        self._caller = caller
        self._chance = random.Random(seed)
        self.bookings: list[tuple[str, dict[str, Any], str]] = []
        """Key, body and the id that was told."""
        self.made = 0
        """How many there have to be."""
        self.tokens: dict[str, Any] = {}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """The answer, of which there has to be one."""
        answer = self._caller.ask(method, path, body, {"Prefer": "return=representation", **headers})
        if answer is None or answer.status >= 500:
            raise Broken(f"{method} {path} was answered {answer}")
        return answer

    def signed(self) -> dict[str, str]:
        """The access token, as it is sent."""
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}

    def sign_in(self) -> None:
        """Sign in anew."""
        answer = self.ask("POST", "/tokens", USER)
        if answer.status not in (200, 201):
            raise Broken(f"nobody can sign in: {answer}")
        self.tokens = answer.json()

    def book(self, count: int) -> None:
        """Book new ones, every other under an id of its own and all under a key."""
        for number in range(count):
            key = f"key-{len(self.bookings)}"
            body: dict[str, Any] = {"description": key, "amount": len(self.bookings) + 1}
            if number % 2:
                body["id"] = ulid(self._chance)
            answer = self.ask("POST", "/incomes", body, **{"Idempotency-Key": key}, **self.signed())
            if answer.status != 201:
                raise Broken(f"a booking was answered {answer}")
            self.bookings.append((key, body, answer.json()["id"]))
            self.made += 1

    def seen(self, id_: str) -> str:
        """How a transaction is shown."""
        answer = self.ask("GET", f"/incomes/{id_}", **self.signed())
        return str(answer.json()["status"]) if answer.status == 200 else str(answer.status)

    def repeat(self) -> dict[str, int]:
        """Send again all that was booked; how many were given their first answer, and how many were booked anew."""
        same = anew = 0
        for place, (key, body, id_) in enumerate(list(self.bookings)):
            answer = self.ask("POST", "/incomes", body, **{"Idempotency-Key": key}, **self.signed())
            if answer.status != 201:
                raise Broken(f"a repetition was answered {answer}")
            shown = answer.json()["id"]
            same += shown == id_
            anew += shown != id_
            self.made += shown != id_
            self.bookings[place] = (key, body, shown)
        return {"first answer again": same, "booked anew": anew}


def clocks(engine: str = "sqlite", *, bookings: int = 10, seed: int = 1, control: bool = False) -> dict[str, Any]:
    """Step through them; returns the figures."""
    figures: dict[str, Any] = {}
    with scratch() as folder, database(engine, folder) as (url, _), Clock(folder) as clock:
        with Service(url, folder, **clock.environment) as service, Caller(service.port) as caller:
            _make_user(url)
            household = Household(caller, seed)
            household.sign_in()
            household.book(bookings)
            for step, seconds in STEPS.items():
                if control:
                    _forget_the_newest(url)
                clock.step(seconds)
                figures[step] = _at(household, bookings)
        entries = export_journal(url, folder / "journal.ndjson")
        lines = [json.loads(entry["entry"]) for entry in entries]
        instants = [line["recorded_at"] for line in lines]
        created = [line["entity_id"] for line in lines if line["kind"] == "create"]
        figures |= {
            "lost or doubled": len(created) - household.made,
            "entries whose recorded_at does not grow": sum(one >= two for one, two in itertools.pairwise(instants)),
            "from": instants[0],
            "to": instants[-1],
            "ids that stand twice": len(created) - len(set(created)),
            "cashman verify": _said(lambda: verify(url)),
            "verify_journal.py": _said(lambda: verify_independently(folder / "journal.ndjson")),
        }
    return figures


def _forget_the_newest(url: str) -> None:
    """Behind the service's back."""
    books = db.connect(url)
    books.write(
        lambda connection: connection.execute(text("UPDATE journal_heads SET recorded_at = :long_ago"), LONG_AGO)
    )
    books.close()


def _said(verifier: Callable[[], str]) -> str:
    try:
        return verifier().split(":")[0]
    except Broken as broken:
        return str(broken)


def _make_user(url: str) -> None:
    """Make somebody who can sign in."""
    command = [sys.executable, "-m", "cashman", "user", "add", USER["email"], "--password", PASSWORD]
    made = subprocess.run(command, cwd=REPOSITORY, env=settings(url), capture_output=True, text=True)
    if made.returncode:
        raise Broken(f"no user can be made: {made.stderr}")


def _at(household: Household, bookings: int) -> dict[str, Any]:
    """What is asked after each step."""
    found: dict[str, Any] = {"access token": household.ask("GET", "/balances", **household.signed()).status}
    turned = household.ask("POST", "/tokens/refresh", {"refresh_token": household.tokens["refresh_token"]})
    found["refresh token"] = turned.status
    household.sign_in()
    found["after a new sign-in"] = household.ask("GET", "/balances", **household.signed()).status
    hold = {"description": "hold", "amount": 1, "status": "pending", "expires_in": 3600}
    found |= household.repeat()
    household.book(bookings - 1)
    held = household.ask("POST", "/incomes", hold, **household.signed())
    household.made += held.status == 201
    found["what expires in an hour"] = household.seen(held.json()["id"]) if held.status == 201 else held.status
    return found


def check(figures: dict[str, Any]) -> None:
    """Broken where an entry is not later than the one before, something is lost or doubled, or not found sound."""
    wrong = ("lost or doubled", "entries whose recorded_at does not grow", "ids that stand twice")
    broken = {name: figures[name] for name in wrong if figures[name]}
    broken |= {name: figures[name] for name in ("cashman verify", "verify_journal.py") if figures[name] != "sound"}
    refused = [step for step in STEPS if figures[step]["after a new sign-in"] != 200]
    if broken or refused:
        raise Broken(f"{broken}, refused after a new sign-in: {refused}")


def main() -> None:
    """Run it as the command line says."""
    parser = arguments(__doc__, control="the books forget when their newest entry was recorded: must break")
    parser.add_argument("--engine", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--bookings", type=int, default=10, help="at each step")
    parser.add_argument("--seed", type=int, default=1)
    given = vars(parser.parse_args())
    judge(clocks(**given), check, control=given["control"])


if __name__ == "__main__":
    sys.exit(run(main))
