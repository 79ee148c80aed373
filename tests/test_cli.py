"""The command line: what it says, and its exit status."""

import json
import os
import pty
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pytest
from flask.testing import FlaskClient
from people import PASSWORD, Holder, Person, another, first_user, sign_in, signed_in
from sqlalchemy import create_engine, make_url, text

from cashman import cli, current
from cashman.cli import books, users
from cashman.ledger import Ledger
from cashman.model.income import Income
from torture.service import REPOSITORY, settings


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs a command on the test's database; returns its exit status, what it wrote, and its errors."""

    def run(*arguments: str, url: str = database_url, typed: Sequence[str] = ()) -> tuple[int, str, str]:
        lines = (line for line in typed)
        monkeypatch.setattr(sys, "argv", ["cashman", *arguments])
        monkeypatch.setattr(click.termui, "hidden_prompt_func", lambda _: next(lines))
        monkeypatch.setenv("CASHMAN_DATABASE_URL", url)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    return run


def attack(url: str, *statements: str) -> None:
    """Write into the database past the service."""
    parsed = make_url(url)
    engine = create_engine(
        url if parsed.get_backend_name() == "sqlite" else parsed.set(drivername="postgresql+psycopg")
    )
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def test_sound_books_are_0_and_one_line_a_ledger(run, ledger: Ledger) -> None:
    head = ledger.record(Income("salary", 5000)).head
    status, said, _ = run("verify")
    assert status == 0
    assert said.startswith("sound: ledger 01")
    assert said.endswith(f", 3 entries, 1 transactions, head {head}\n")


def test_a_script_gets_a_proof_as_json(run, ledger: Ledger, client: FlaskClient) -> None:
    head = ledger.record(Income("salary", 5000)).head
    status, said, _ = run("verify", "--json")
    ulid = client.get("/ledger").json["id"]
    assert (status, json.loads(said)) == (0, [{"ledger": ulid, "entries": 3, "transactions": 1, "head": str(head)}])


def test_how_far_a_proof_is_adds_up_to_all_rows(run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, lengths = [], []

    class Bar:
        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, count: int) -> None:
            steps.append(count)

    monkeypatch.setattr(books, "STEP_ROWS", 3)
    monkeypatch.setattr(books, "progress_bar", lambda _, length: lengths.append(length) or Bar())
    for _ in range(5):
        ledger.record(Income("salary", 5000))
    assert run("verify")[0] == 0
    assert lengths == [7 + 5]
    assert sum(steps) == 12
    assert max(steps) == 3


def test_a_receipt_that_is_in_the_chain_is_0(run, ledger: Ledger) -> None:
    head = ledger.record(Income("salary", 5000)).head
    ledger.record(Income("salary", 5000))
    assert run("verify", "--head", str(head))[0] == 0


def test_a_receipt_that_is_not_in_the_chain_is_1(run, ledger: Ledger) -> None:
    ledger.record(Income("salary", 5000))
    status, _, error = run("verify", "--head", f"3:{'0' * 64}")
    assert (status, error) == (1, f"TAMPERED: journal: the receipt 3:{'0' * 64} is not in the chain\n")


def test_tampered_books_are_1_and_name_the_first_bad_row(run, ledger: Ledger, database_url: str) -> None:
    state = ledger.record(Income("salary", 5000)).state
    ledger.books.database.close()
    attack(database_url, "UPDATE transactions SET minor_units = 1")
    status, said, error = run("verify")
    assert (status, said) == (1, "")
    assert error == f"TAMPERED: transactions 1/{state['id']}: minor_units not as the journal says\n"


@pytest.mark.parametrize("receipt", ["", "5", "5:xyz", f"x:{'0' * 64}", f"5:{'g' * 64}"])
def test_a_receipt_that_is_none_is_2(run, ledger: Ledger, receipt: str) -> None:
    status, _, error = run("verify", "--head", receipt)
    assert status == 2
    assert "--head" in error


def test_books_that_are_not_there_are_2_and_none_are_made(run, tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "cashman.db"
    status, _, error = run("verify", url=f"sqlite:///{path}")
    assert (status, error) == (2, "cashman: there are no books where CASHMAN_DATABASE_URL says\n")
    assert not path.parent.exists()


def test_a_wrong_setting_and_a_server_out_of_reach_are_2(run) -> None:
    assert run("verify", url="mysql://x/y")[0] == 2
    status, _, error = run("verify", url="postgresql://nobody@127.0.0.1:1/nothing")
    assert (status, error.count("\n")) == (2, 1)
    assert error.startswith("cashman: ")


def test_the_journal_is_written_as_the_feed_gives_it(
    run, ledger: Ledger, client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(books, "FEED_ENTRIES_MAX", 2)
    for number in range(3):
        ledger.record(Income(f"salary é {number}", 5000))
    status, said, _ = run("journal")
    assert status == 0
    assert [json.loads(line) for line in said.splitlines()] == client.get("/journal").json
    status, said, _ = run("journal", "--after", "4")
    assert [json.loads(json.loads(line)["entry"])["sequence"] for line in said.splitlines()] == [5]


def test_it_runs_as_a_module(ledger: Ledger, database_url: str) -> None:
    ledger.record(Income("salary", 5000))
    ledger.books.database.close()
    said = subprocess.run(
        [sys.executable, "-m", "cashman", "verify"],
        cwd=REPOSITORY, env=settings(database_url), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("sound: ")


def test_help_names_the_commands(run) -> None:
    status, said, _ = run("--help")
    assert status == 0
    for name in ("add", "list", "balance", "report", "import", "export", "backup", "verify", "journal", "user", "demo"):
        assert f"\n  {name} " in said


NEW_PASSWORD = "another horse battery"
GIVEN = ("--password", PASSWORD)


def test_user_add_makes_the_first_user_who_takes_over_the_books(run, client: FlaskClient) -> None:
    assert client.post("/expenses", json={"description": "pizza", "amount": 5}).status_code == 204
    status, said, error = run("user", "add", "First@Example.com", "--name", "Erika", *GIVEN)
    assert (status, error) == (0, "")
    assert client.get("/expenses").status_code == 401  # also in a worker that has run before
    first = Person(client, sign_in(client, "first@example.com").json["access_token"])
    user = first.get("/users/me").json
    assert said == f"{user['id']} First@Example.com (administrator)\n"
    assert (user["name"], user["admin"]) == ("Erika", True)
    assert [one["description"] for one in first.get("/expenses").json] == ["pizza"]


def test_user_add_makes_others_with_a_ledger_of_their_own(run, client: FlaskClient) -> None:
    first = first_user(client)
    assert run("user", "add", "b@example.com", *GIVEN)[1].endswith(" b@example.com\n")
    assert run("user", "add", "c@example.com", "--admin", *GIVEN)[1].endswith(" c@example.com (administrator)\n")
    users = {user["email"]: user for user in first.get("/users").json}
    assert [users[name]["admin"] for name in ("b@example.com", "c@example.com")] == [False, True]
    person = signed_in(client, users["b@example.com"])
    assert person.get("/expenses").json == []
    assert json.loads(person.get("/journal").json[0]["entry"])["actor"] == "command line"


def test_a_password_is_asked_for_twice_until_both_are_the_same(run, client: FlaskClient) -> None:
    assert run("user", "add", "a@example.com", typed=[PASSWORD, PASSWORD])[0] == 0
    assert sign_in(client, "a@example.com").status_code == 200
    typed = [NEW_PASSWORD, "something else", NEW_PASSWORD, NEW_PASSWORD]
    status, said, error = run("user", "passwd", "a@example.com", typed=typed)
    assert status == 0
    assert "do not match" in said + error
    assert NEW_PASSWORD not in said + error
    assert sign_in(client, "a@example.com", NEW_PASSWORD).status_code == 200


def test_without_a_password_nobody_is_made(run, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> Iterator[str]:
        raise KeyboardInterrupt
        yield

    status, said, error = run("user", "add", "a@example.com", typed=interrupted())
    assert (status, said.strip(), error.splitlines()[-1]) == (1, "", "Aborted!")
    assert run("user", "list") == (0, "", "")
    assert client.get("/expenses").status_code == 200


def test_what_is_typed_at_a_terminal_is_not_shown(ledger: Ledger, database_url: str, client: FlaskClient) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "cashman", "user", "add", "a@example.com"],
        cwd=REPOSITORY, env=settings(database_url), stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    for prompt in (b"Password: ", b"Repeat for confirmation: "):
        seen = b""
        while not seen.endswith(prompt):
            shown = os.read(process.stderr.fileno(), 1000)
            assert shown, seen
            seen += shown
        os.write(ours, f"{PASSWORD}\n".encode())
    said, error = process.communicate(timeout=60)
    os.write(theirs, b"end")  # so that there is something to read where nothing was shown
    shown = os.read(ours, 1000)
    for end in (ours, theirs):
        os.close(end)
    assert (process.returncode, said.endswith(b" a@example.com (administrator)\n")) == (0, True), error
    assert PASSWORD.encode() not in said + error + shown
    assert sign_in(client, "a@example.com").status_code == 200


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nobody", *GIVEN), "email: Not an e-mail address."),
        (("", *GIVEN), "email: May not be blank."),
        (("a@example.com", "--password", "short"), "password: At least 10 characters."),
        (("a@example.com", "--password", "x" * 201), "password: At most 200 characters."),
        (("a@example.com", "--name", " ", *GIVEN), "name: May not be blank."),
        (("A@EXAMPLE.ORG", *GIVEN), "Another user has this e-mail."),
        (("\udcff@example.com", *GIVEN), "email: May not hold half of a surrogate pair."),
    ],
)
def test_a_user_that_cannot_be_is_told_in_one_line(run, client: FlaskClient, arguments, told: str) -> None:
    first = first_user(client, "a@example.org")
    status, said, error = run("user", "add", *arguments)
    assert status != 0
    assert (said, error.count("\n")) == ("", 1)
    assert error.endswith(f"{told}\n")
    assert len(first.get("/users").json) == 1


def test_arguments_that_are_none_are_2(run, ledger: Ledger) -> None:
    for arguments in (
        ("user", "add"),
        ("user", "add", "a@example.com", "b@example.com", *GIVEN),
        ("user", "add", "a@example.com", "--role", "x", *GIVEN),
        ("user", "passwd"),
        ("user", "revoke"),
        ("user", "remove", "a@example.com"),
        ("user", "list", "x"),
        ("keys", "rotate", "x"),
        ("keys", "drop"),
    ):
        status, said, error = run(*arguments)
        assert (status, said) == (2, ""), arguments
        assert "Usage: " in error


def test_passwd_ends_the_sessions_of_a_user_in_any_case_of_the_email(run, client: FlaskClient) -> None:
    first = first_user(client)
    assert first.get("/users/me").status_code == 200
    assert run("user", "passwd", "FIRST@example.COM", "--password", NEW_PASSWORD) == (0, "", "")
    assert first.get("/users/me").status_code == 401
    assert sign_in(client, first.email).status_code == 401
    assert sign_in(client, first.email, NEW_PASSWORD).status_code == 200
    status, _, error = run("user", "passwd", first.email, "--password", "short")
    assert (status, error) == (1, "Error: password: At least 10 characters.\n")
    assert sign_in(client, first.email, NEW_PASSWORD).status_code == 200


def test_revoke_keeps_a_user_out_until_restore(run, client: FlaskClient) -> None:
    first = first_user(client)
    person = another(first)
    key = person.key("read")
    assert (person.get("/users/me").status_code, key.get("/users/me").status_code) == (200, 200)
    assert run("user", "revoke", person.email) == (0, "", "")
    assert (person.get("/users/me").status_code, key.get("/users/me").status_code) == (401, 401)
    assert run("user", "list")[1].splitlines()[1].endswith(f"{person.email} (revoked)")
    assert run("user", "revoke", person.email) == (0, "", "")  # it is so already
    assert run("user", "restore", person.email.upper()) == (0, "", "")
    assert (person.get("/users/me").status_code, key.get("/users/me").status_code) == (401, 200)
    status, _, error = run("user", "revoke", first.email)
    assert (status, error) == (2, "cashman: The last administrator cannot go.\n")


@pytest.mark.parametrize("command", [("passwd", *GIVEN), ("revoke",), ("restore",)])
def test_a_user_who_is_not_there_is_told_in_one_line(run, client: FlaskClient, command) -> None:
    first_user(client)
    status, said, error = run("user", command[0], "unknown@example.com", *command[1:])
    assert (status, said, error) == (1, "", "Error: no user has this e-mail\n")


def test_list_shows_every_user_and_no_secret(run, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("user", "list") == (0, "", "")
    monkeypatch.setattr(users, "PAGE_ROWS_MAX", 2)
    first = first_user(client)
    others = [first.post("/users", {"email": f"{number}@example.com"}).json for number in range(3)]
    first.patch(f"/users/{others[0]['id']}", {"admin": True})
    first.patch(f"/users/{others[0]['id']}", {"revoked": True})
    status, said, _ = run("user", "list")
    assert status == 0
    assert sorted(said.splitlines()) == sorted(
        [
            f"{first.id} first@example.com (administrator)",
            f"{others[0]['id']} 0@example.com (administrator) (revoked)",
            *(f"{other['id']} {other['email']}" for other in others[1:]),
        ]
    )
    assert "argon2" not in said
    listed = json.loads(run("user", "list", "--json")[1])
    assert len(listed) == 4
    (shown,) = [user for user in listed if user["id"] == first.id]
    assert shown == {"id": first.id, "email": "first@example.com", "name": None, "admin": True, "revoked": False}


def test_keys_rotate_signs_with_another_key_and_nobody_out(
    run, client: FlaskClient, database_url: str, engine_name: str
) -> None:
    first = first_user(client)
    before = current.access(client.application).keys.load().signing.kid
    assert run("keys", "rotate") == (0, "", "")
    after = current.access(client.application).keys.load()
    assert (after.signing.kid != before, after.get(before) is not None) == (True, True)
    assert first.get("/users/me").status_code == 200
    assert client.post("/tokens/refresh", json={"refresh_token": first.refresh_token}).status_code == 200
    later = signed_in(client, first.user)
    assert Holder(client, later.token).get("/users/me").status_code == 200
    if engine_name == "sqlite":
        path = Path(make_url(database_url).database + ".keys")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_keys_that_the_settings_give_are_not_rotated_here(run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASHMAN_SECRET_KEY", "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG")
    status, said, error = run("keys", "rotate")
    assert (status, said, error.count("\n")) == (2, "", 1)
    assert "CASHMAN_SECRET_KEY" in error
    assert "0123456789" not in error


@pytest.mark.parametrize(
    "command",
    [
        ("user", "add", "a@example.com", *GIVEN),
        ("user", "passwd", "a@example.com", *GIVEN),
        ("user", "revoke", "a@example.com"),
        ("user", "restore", "a@example.com"),
        ("user", "list"),
        ("keys", "rotate"),
    ],
)
def test_where_there_are_no_books_nobody_is_let_in_and_nothing_is_made(run, tmp_path: Path, command) -> None:
    path = tmp_path / "nowhere" / "cashman.db"
    status, said, error = run(*command, url=f"sqlite:///{path}")
    assert (status, said, error) == (2, "", "cashman: there are no books where CASHMAN_DATABASE_URL says\n")
    assert not path.parent.exists()


def test_help_names_what_can_be_done_with_users_and_keys(run) -> None:
    status, said, _ = run("user", "--help")
    assert status == 0
    for name in ("add", "passwd", "revoke", "restore", "list"):
        assert name in said
    assert "rotate" in run("keys", "--help")[1]
