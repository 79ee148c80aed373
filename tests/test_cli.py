"""The command line: what it says, and its exit status."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from cashman import cli
from cashman.ledger import Ledger
from cashman.model.income import Income
from torture.service import REPOSITORY, settings


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs a command on the test's database; returns its exit status, what it wrote, and its errors."""

    def run(*arguments: str, url: str = database_url) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cashman", *arguments])
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
    monkeypatch.setattr(cli, "FEED_ENTRIES_MAX", 2)
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
    assert "verify" in said
    assert "journal" in said
