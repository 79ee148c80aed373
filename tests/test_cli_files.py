"""`cashman import` and `cashman export`."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Run, runner, served
from flask import Flask
from flask.testing import FlaskClient
from werkzeug import Response

from cashman import bookings, importing
from cashman.cli import chunks, files
from cashman.cli.service import Local
from cashman.formats import EXPORTS, IMPORTS
from cashman.ledger import Ledger
from cashman.model.expense import Expense
from cashman.model.filter import Filter, FilterSchema
from cashman.model.income import Income
from torture.service import REPOSITORY, settings

HEADER = "date,amount,description\n"
GOOD = f"{HEADER}2026-01-05,-4.50,coffee\n2026-01-06,2500.00,Salary\n"
PARTLY = f"{HEADER}2026-01-05,-4.50,coffee\n2026-01-32,-3.00,tea\n2026-01-07,x,cake\n"


@pytest.fixture
def run(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(app, monkeypatch)


@pytest.fixture
def statement(tmp_path: Path) -> Path:
    path = tmp_path / "bank.csv"
    path.write_text(GOOD)
    return path


def test_a_file_is_imported_and_summed_up(run: Run, statement: Path, client: FlaskClient) -> None:
    status, out, err = run("import", str(statement))
    assert (status, err) == (0, "")
    assert out == "bank.csv (csv, utf-8): 2 booked (2495.50 USD), 0 skipped, 0 refused\n"
    assert [row["description"] for row in client.get("/transactions").json] == ["Salary", "coffee"]


def test_who_imported_it_is_the_command_line(run: Run, statement: Path, client: FlaskClient) -> None:
    run("import", str(statement))
    assert json.loads(client.get("/journal").json[-1]["entry"])["actor"] == "command line"


def test_the_same_file_books_nothing_again(run: Run, statement: Path, client: FlaskClient) -> None:
    run("import", str(statement))
    status, out, _ = run("import", str(statement))
    assert status == 0
    first, _, _, *lines = out.splitlines()
    assert first == "bank.csv (csv, utf-8): 0 booked, 2 skipped, 0 refused"
    assert [line.split(maxsplit=2) for line in lines] == [
        ["2", "skipped", "Imported before."],
        ["3", "skipped", "Imported before."],
    ]
    assert len(client.get("/transactions").json) == 2


def test_what_is_skipped_by_the_dozen_is_one_line(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "bank.csv"
    path.write_text(HEADER + "".join(f"2026-01-05,-{number}.00,coffee\n" for number in range(1, 31)))
    run("import", str(path))
    out = run("import", str(path)).out.splitlines()
    assert out[-1].split(maxsplit=1) == ["skipped", "30 × Imported before."]
    assert len(out) == 4


def test_refused_lines_are_1_and_nothing_is_booked(run: Run, tmp_path: Path, client: FlaskClient) -> None:
    path = tmp_path / "bank.csv"
    path.write_text(PARTLY)
    status, out, err = run("import", str(path))
    assert (status, out) == (1, "")
    told, header, _, *lines = err.splitlines()
    assert told == "cashman: bank.csv: nothing is booked, for these lines are refused (--partial books the others)"
    assert header.split() == ["line", "outcome", "why"]
    assert [line.split()[:3] for line in lines] == [["3", "refused", "date:"], ["4", "refused", "amount:"]]
    assert client.get("/transactions").json == []


def test_partial_books_the_others_and_is_still_1(run: Run, tmp_path: Path, client: FlaskClient) -> None:
    path = tmp_path / "bank.csv"
    path.write_text(PARTLY)
    status, out, _ = run("import", "--partial", str(path))
    assert status == 1
    assert out.splitlines()[0] == "bank.csv (csv, utf-8): 1 booked (-4.50 USD), 0 skipped, 2 refused"
    assert len(out.splitlines()) == 5
    assert [row["description"] for row in client.get("/transactions").json] == ["coffee"]


def test_a_preview_shows_all_and_books_nothing(run: Run, statement: Path, client: FlaskClient) -> None:
    status, out, _ = run("import", "--preview", "--account", "Checking", str(statement))
    assert status == 0
    first, second, header, _, *lines = out.splitlines()
    assert first == "bank.csv (csv, utf-8): 2 would be booked (2495.50 USD), 0 skipped, 0 refused"
    assert second == "account would be opened: Checking (USD)"
    assert header.split() == ["line", "outcome", "date", "description", "amount", "account"]
    assert lines[0].split() == ["2", "booked", "2026-01-05", "coffee", "-4.50", "USD", "Checking"]
    assert client.get("/transactions").json == []
    assert [account["name"] for account in client.get("/accounts").json] == ["main"]


def test_an_account_is_opened_and_said(run: Run, statement: Path) -> None:
    _, out, _ = run("import", "--account", "Checking", str(statement))
    assert out.splitlines()[1:] == ["account opened: Checking (USD)"]


def test_several_files_are_each_booked_on_their_own(run: Run, statement: Path, tmp_path: Path) -> None:
    other, empty = tmp_path / "other.csv", tmp_path / "empty.csv"
    other.write_text(PARTLY)
    empty.write_text("")
    status, out, err = run("import", str(other), str(empty), str(statement))
    assert status == 2
    assert out == "bank.csv (csv, utf-8): 2 booked (2495.50 USD), 0 skipped, 0 refused\n"
    assert err.splitlines()[0].startswith("cashman: other.csv: nothing is booked")
    assert err.splitlines()[-1] == "cashman: empty.csv: The file is empty."
    assert run("import", str(statement), str(other)).status == 1


def test_what_cannot_be_read_at_all_is_2(run: Run, statement: Path, tmp_path: Path) -> None:
    picture = tmp_path / "a.csv"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n0000")
    assert run("import", str(picture))[:2] == (2, "")
    status, out, err = run("import", "--format", "ofx", str(statement))
    assert (status, out) == (2, "")
    assert err.startswith("cashman: bank.csv: ")
    assert run("import", str(tmp_path / "none.csv")).status == 2
    assert run("import").status == 2
    assert run("import", "--format", "xlsx", str(statement)).status == 2


def test_standard_input_is_a_file_too(run: Run) -> None:
    status, out, _ = run("import", "-", typed=GOOD)
    assert (status, out.splitlines()[0].partition(":")[2]) == (0, " 2 booked (2495.50 USD), 0 skipped, 0 refused")


def test_a_mapping_is_kept_or_in_a_file(run: Run, client: FlaskClient, tmp_path: Path) -> None:
    path, mapping = tmp_path / "odd.csv", tmp_path / "mapping.json"
    path.write_text("a;b;c\n05.01.2026;4,50;coffee\n")
    wanted = {"columns": {"date": "a", "amount": "b", "description": "c"}}
    mapping.write_text(json.dumps(wanted))
    status, out, _ = run("import", "--json", "--mapping", str(mapping), str(path))
    assert (status, json.loads(out)["booked"]) == (0, 1)
    assert client.put("/import/mappings/odd", json=wanted).status_code == 204
    status, out, _ = run("import", "--json", "--mapping", "odd", str(path))
    assert (status, json.loads(out)["skipped"]) == (0, 1)
    assert run("import", "--mapping", "unknown", str(path)).status == 1
    assert run("import", "--mapping", str(tmp_path / "none.json"), str(path)).status == 2
    mapping.write_text('{"columns": {"colour": 1}}')
    status, _, err = run("import", "--mapping", str(mapping), str(path))
    assert status == 1
    assert "colour" in err


def test_for_a_script_it_is_the_document_of_the_api(run: Run, statement: Path, tmp_path: Path) -> None:
    status, out, err = run("import", "--json", str(statement))
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert {name: document[name] for name in ("format", "booked", "preview", "lines")} == {
        "format": "csv",
        "booked": 2,
        "preview": False,
        "lines": [],
    }
    assert '"sums":{"USD":2495.50}' in out
    other = tmp_path / "other.csv"
    other.write_text(PARTLY)
    status, out, _ = run("import", "--json", str(other), str(statement))
    refused, skipped = json.loads(out)
    assert (status, refused["status"], sorted(refused["errors"]), skipped["skipped"]) == (1, 422, ["3", "4"], 2)


def test_another_ledger_takes_the_file(run: Run, statement: Path, client: FlaskClient, ledger: Ledger) -> None:
    own = client.get("/ledger").json["id"]
    assert run("--ledger", own, "import", str(statement)).status == 0
    assert len(client.get("/transactions").json) == 2


# Too much for one request.


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few rows be too many for one commit."""
    monkeypatch.setattr(bookings, "IMPORT_ROWS_MAX", 10)
    monkeypatch.setattr(importing, "IMPORT_CHUNK_ROWS", 4)


def rows(count: int) -> str:
    return HEADER + "".join(f"2026-01-05,-{number}.00,coffee\n" for number in range(1, count + 1))


@pytest.mark.usefixtures("few")
def test_too_many_rows_are_taken_in_chunks(run: Run, statement: Path, client: FlaskClient, database_url: str) -> None:
    statement.write_text(rows(25))
    status, out, err = run("import", str(statement))
    assert (status, err) == (0, "")
    assert out == "bank.csv (csv, utf-8): 25 booked (-325.00 USD), 0 skipped, 0 refused\n"
    assert len(client.get("/transactions?limit=1000").json) == 25
    assert json.loads(client.get("/journal").json[-1]["entry"])["actor"] == "command line"
    status, out, _ = run("import", "--json", str(statement))
    assert (status, json.loads(out)["skipped"]) == (0, 25)
    assert run("verify", CASHMAN_DATABASE_URL=database_url).status == 0


@pytest.mark.usefixtures("few")
def test_too_many_rows_from_standard_input_are_taken_in_chunks(run: Run) -> None:
    assert " 25 booked" in run("import", "-", typed=rows(25)).out


@pytest.mark.usefixtures("few")
def test_too_many_rows_of_which_some_are_refused_are_1(run: Run, statement: Path, client: FlaskClient) -> None:
    statement.write_text(rows(25) + "2026-01-32,-3.00,tea\n")
    status, _, _ = run("import", str(statement))
    assert status == 1
    assert client.get("/transactions").json == []
    status, out, _ = run("import", "--partial", str(statement))
    assert (status, out.splitlines()[0]) == (1, "bank.csv (csv, utf-8): 25 booked (-325.00 USD), 0 skipped, 1 refused")


@pytest.mark.usefixtures("few")
def test_a_mapping_goes_with_the_chunks(run: Run, statement: Path, tmp_path: Path, client: FlaskClient) -> None:
    statement.write_text(rows(25).replace("date,amount,description", "a,b,c"))
    wanted = {"columns": {"date": "a", "amount": "b", "description": "c"}}
    mapping = tmp_path / "mapping.json"
    mapping.write_text(json.dumps(wanted))
    assert client.put("/import/mappings/odd", json=wanted).status_code == 204
    assert " 25 booked" in run("import", "--mapping", str(mapping), str(statement)).out
    assert " 25 skipped" in run("import", "--mapping", "odd", str(statement)).out


def test_a_mapping_that_breaks_a_rule_is_told_before_any_chunk(
    run: Run, statement: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ledger: Ledger
) -> None:
    monkeypatch.setattr(files, "IMPORT_BYTES_MAX", 100)
    statement.write_text(rows(25))
    mapping = tmp_path / "mapping.json"
    for wrong, told in (
        ('{"columns": {"colour": 1}}', "colour"),
        ("{", "line 1, column 2"),
        ('{"decimal": "x"}', "decimal: "),
    ):
        mapping.write_text(wrong)
        status, out, err = run("import", "--mapping", str(mapping), str(statement))
        assert (status, out) == (1, "")
        assert told in err
        assert json.loads(run("import", "--json", "--mapping", str(mapping), str(statement)).out)["status"] in (
            400,
            422,
        )
    assert run("import", "--mapping", "unknown", str(statement))[:2] == (1, "")
    statement.write_bytes(b"\x89PNG" + b"x" * 200)
    assert run("import", str(statement))[:2] == (2, "")
    assert ledger.find(Filter()).rows == []


def test_too_many_bytes_are_taken_in_chunks(
    run: Run, statement: Path, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "IMPORT_BYTES_MAX", 100)
    statement.write_text(rows(25))
    taken = []
    real = chunks.import_file
    monkeypatch.setattr(chunks, "import_file", lambda *a, **k: taken.append(k["in_chunks"]) or real(*a, **k))
    assert run("import", str(statement)).status == 0
    assert taken == [True]
    assert len(client.get("/transactions?limit=1000").json) == 25


def test_too_many_bytes_are_not_sent_elsewhere(
    run: Run, statement: Path, app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "IMPORT_BYTES_MAX", 100)
    statement.write_text(rows(25))
    with served(app.wsgi_app) as url:
        status, out, err = run("--url", url, "import", "--json", str(statement))
    assert (status, json.loads(out)["status"]) == (2, 413)
    assert "At most 100 bytes over HTTP" in err
    assert client.get("/transactions").json == []


def test_more_lines_than_one_commit_has_rows_are_not_asked_for_in_vain(
    run: Run, statement: Path, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = files._send
    monkeypatch.setattr(files, "_send", lambda *a: asked.append("asked") or real(*a))
    monkeypatch.setattr(files, "IMPORT_ROWS_MAX", 20)
    statement.write_text(rows(25))
    assert run("import", "--preview", str(statement)).out.count("booked  ") == 25, "a preview shows what it would book"
    assert asked == ["asked"]
    assert run("import", str(statement)).status == 0
    assert asked == ["asked"]
    assert len(client.get("/transactions?limit=1000").json) == 25


@pytest.mark.usefixtures("few")
def test_a_service_elsewhere_says_that_it_is_too_much(run: Run, statement: Path, app: Flask) -> None:
    statement.write_text(rows(25))
    with served(app.wsgi_app) as url:
        status, out, err = run("--url", url, "import", str(statement))
    assert (status, out) == (1, "")
    assert "command line" in err


# Out.


@pytest.fixture
def _booked(ledger: Ledger, client: FlaskClient) -> None:
    client.post("/expenses", json={"description": "=pizza", "amount": 50, "category": "Food", "date": "2026-01-05"})
    client.post("/incomes", json={"description": "Salary é", "amount": 2500, "tags": ["a"], "date": "2026-01-06"})


@pytest.mark.usefixtures("_booked")
@pytest.mark.parametrize("format_", files.FORMATS_OUT)
def test_an_export_is_byte_for_byte_what_the_api_gives(
    run: Run, client: FlaskClient, tmp_path: Path, format_: str
) -> None:
    wanted = client.get(f"/export/{format_}").data
    path = tmp_path / "out"
    assert run("export", format_, "-o", str(path)) == (0, "", "")
    status, out, err = run("export", format_)
    assert (status, err) == (0, "")
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()
    for given in (path.read_bytes(), out.encode()):
        if format_ == "ofx":  # it says when it was made
            assert len(given) == len(wanted)
        else:
            assert given.replace(b"\r\n", b"\n") == wanted.replace(b"\r\n", b"\n")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.usefixtures("_booked")
def test_filters_and_the_form_go_with_an_export(run: Run) -> None:
    def found(*arguments: str) -> list[str]:
        out = run("export", "ndjson", *arguments).out
        return [row["description"] for row in map(json.loads, out.splitlines()) if "description" in row]

    assert found("--category", "Food") == ["=pizza"]
    assert found("--tag", "a") == ["Salary é"]
    assert found("--from", "2026-01-06") == ["Salary é"]
    assert found("--type", "expense") == ["=pizza"]
    assert "'=pizza" in run("export", "csv").out
    lossless = run("export", "csv", "--form", "lossless").out
    assert "=pizza" in lossless
    assert "'=pizza" not in lossless
    assert run("export", "csv", "--from", "x").status == 1
    assert run("export", "xlsx").status == 2
    assert run("export").status == 2


@pytest.mark.usefixtures("_booked")
def test_what_was_exported_is_known_when_it_comes_back(run: Run, tmp_path: Path) -> None:
    for format_, form in (("json", ()), ("ndjson", ()), ("csv", ("--form", "lossless"))):
        path = tmp_path / f"out.{format_}"
        assert run("export", format_, *form, "-o", str(path)).status == 0
        status, out, _ = run("import", "--json", str(path))
        assert (status, json.loads(out)["booked"], json.loads(out)["skipped"]) == (0, 0, 2), format_


@pytest.mark.usefixtures("_booked")
def test_an_export_that_breaks_off_leaves_the_file_as_it_was(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing() -> Iterator[bytes]:
        yield b"half of it"
        raise OSError("the disk is gone")

    def request(self: Local, method: str, path: str, *rest: object):
        response = Response(failing())
        return files.Answer(200, response.headers, self._parts(response))

    monkeypatch.setattr(Local, "request", request)
    path = tmp_path / "books.json"
    for before in (None, "what was there"):
        if before is not None:
            path.write_text(before)
        status, _, err = run("export", "json", "-o", str(path))
        assert (status, err) == (2, "cashman: the answer breaks off: the disk is gone\n")
        assert [file.name for file in tmp_path.iterdir() if file.name.startswith((".", "books.json"))] == (
            [] if before is None else ["books.json"]
        )
    assert path.read_text() == "what was there"


def test_a_file_that_cannot_be_written_is_2(run: Run, tmp_path: Path, ledger: Ledger) -> None:
    status, out, err = run("export", "json", "-o", str(tmp_path / "nowhere" / "x.json"))
    assert (status, out) == (2, "")
    assert "cannot be written" in err
    assert run("export", "json", "-o", str(tmp_path)).status == 2


def test_the_formats_and_filters_are_those_of_the_service() -> None:
    assert set(files.FORMATS_IN) == set(IMPORTS)
    assert set(files.FORMATS_OUT) == set(EXPORTS)
    options = {option.name.rstrip("_") for option in files.export.params}
    wanted = {field.data_key or name for name, field in FilterSchema().fields.items()} - {"sort", "limit", "cursor"}
    assert options == wanted | {"format", "output", "form", "type"}


def test_a_bar_is_shown_on_a_terminal_and_nowhere_else(
    ledger: Ledger, database_url: str, statement: Path, tmp_path: Path
) -> None:
    ledger.record(Expense("pizza", 50))
    ledger.record(Income("Salary", 2500))
    ledger.books.database.close()
    for command in (("import", str(statement)), ("export", "json", "-o", str(tmp_path / "x.json")), ("verify",)):
        ours, theirs = pty.openpty()
        said = subprocess.run(
            [sys.executable, "-m", "cashman", *command],
            cwd=REPOSITORY, env=settings(database_url), check=False,
            stdin=theirs, stdout=subprocess.PIPE, stderr=theirs,
        )  # fmt: skip
        shown = os.read(ours, 10_000).decode()
        for end in (ours, theirs):
            os.close(end)
        assert said.returncode == 0, shown
        assert "ing" in shown
        assert "[" in shown
        assert b"\x1b" not in said.stdout


@pytest.mark.usefixtures("_booked")
def test_what_is_no_file_is_written_to_and_a_link_stays_one(run: Run, tmp_path: Path) -> None:
    pipe, link, target = tmp_path / "pipe", tmp_path / "link", tmp_path / "target"
    os.mkfifo(pipe)
    link.symlink_to(target)
    whole = run("export", "csv").out.replace("\n", "\r\n").encode()  # the runner reads line ends as one
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        assert run("export", "csv", "-o", str(pipe)).status == 0
        assert reader.communicate(timeout=30)[0] == whole
    assert pipe.is_fifo()
    assert run("export", "csv", "-o", str(link)).status == 0
    assert link.is_symlink()
    assert target.read_bytes() == whole


def test_an_output_that_is_full_is_told_in_one_line(database_url: str) -> None:
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "cashman", "--help"],
            cwd=REPOSITORY, env=settings(database_url), stdout=full, stderr=subprocess.PIPE, timeout=60, check=False,
        )  # fmt: skip
    assert ran.returncode != 0
    assert b"Traceback" not in ran.stderr
