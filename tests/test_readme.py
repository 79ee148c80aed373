"""The commands of the README and of ARCHITECTURE.md run, and their tables are those of the code."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from babel import Locale
from conftest import missing
from marshmallow import Schema
from sqlalchemy import inspect

from benchmarks import servers
from cashman import cli, config, db, errors, headers, limits
from cashman.access import Access
from cashman.access.signing import signing_keys
from cashman.config import PREFIX, ConfigSchema
from cashman.documentation import OF_A_NAMED_LEDGER, make_document
from cashman.index import create_app
from cashman.ledger import Books
from cashman.model.account import KINDS
from cashman.model.filter import FilterSchema
from cashman.model.report import DIMENSIONS, SummarySchema
from cashman.translations import LANGUAGES

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")

ID = "01KAHBJ5V0000000000000P1ZZ"

CHANGING = (
    (r"\b[0-7][0-9A-HJKMNP-TV-Z]{25}\b", "<ulid>"),
    (r"\b[0-9a-f]{64}\b", "<hash>"),
    (r"\b[0-9a-f]{32}\b", "<salt>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", "<instant>"),
    (r"\d{4}-\d\d-\d\d", "<day>"),
    (r'W/"(\d+)-[0-9a-f]{16}-[0-9a-f]{16}"', r'W/"\1-<tag>"'),
    (r"\bcursor=[\w-]+", "cursor=<cursor>"),
    (r"\beyJ[\w.-]+…?", "<token>"),
    (r"\bcashman_[\w-]{43}", "<key>"),
    (r"(?m)^Date: .*$", "Date: <now>"),
)
"""What is another each time, and what it is compared as."""

SETUP_CODE = re.compile(r"\b[A-Z2-7]{4}(?:-[A-Z2-7]{4}){4}\b")

ON_EVERY_ANSWER = {name for name, _ in headers._pairs(None, secure=False, page=False, guarded=True, varies=False)}
ON_EVERY_ANSWER.add(headers.REQUEST_ID_HEADER)
"""The headers that the tour leaves out."""


def section(name: str, document: str = README) -> str:
    """What stands between two marks in a document."""
    return document.split(f"<!-- {name} -->\n")[1].split(f"<!-- /{name} -->")[0]


def tour(text: str) -> list[tuple[str, str]]:
    """The commands of the tour, each with what it prints."""
    steps = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for part in re.split(r"(?m)^\$ ", block)[1:]:
            lines = part.splitlines()
            length = 1
            while "\n".join(lines[:length]).count("'") % 2:  # a quoted body goes on over several lines
                length += 1
            steps.append(("\n".join(lines[:length]), "\n".join(lines[length:])))
    return steps


def run_tour(text: str, database_url: str) -> list[tuple[str, str, str]]:
    """Each command of a text, what it is said to print and what it prints: all in one shell, against one new ledger."""
    environment = {
        # Without the width of a terminal, which the parallel runs of pytest name, and tables would be cut to.
        **{name: value for name, value in os.environ.items() if not name.startswith(PREFIX) and name != "COLUMNS"},
        "CASHMAN_DATABASE_URL": database_url,
        "PYTHONPATH": str(REPOSITORY),
    }
    steps = tour(text)
    with servers.cashman(database_url) as server:
        script = "".join(f"{command}\nprintf '\\036'\n" for command, _ in steps)
        script = script.replace("localhost:5000", f"127.0.0.1:{server.port}")
        script = script.replace("./bootstrap.sh cli", f"'{sys.executable}' -m cashman")
        script = SETUP_CODE.sub(setup_code(database_url), script)
        result = subprocess.run(
            ["sh", "-eu"],
            input=script.encode(),
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            timeout=120,
            check=True,
        )
    printed = result.stdout.decode().replace("\r\n", "\n").split("\036")
    return [(command, said, of.strip("\n")) for (command, said), of in zip(steps, printed[:-1], strict=True)]


def setup_code(database_url: str) -> str:
    """What the log of a server shows at the start."""
    books = Books(db.connect(database_url))
    try:
        return Access(books, signing_keys(books.database, None)).setup_code()
    finally:
        books.database.close()


def shape(output: str) -> str:
    """An output without what is another each time."""
    for pattern, name in CHANGING:
        output = re.sub(pattern, name, output)
    return re.sub(rf"(?m)^({'|'.join(sorted(ON_EVERY_ANSWER))}): .*\n", "", f"{output.strip()}\n").strip()


@pytest.mark.parametrize("name", ["tour", "who", "cli"])
def test_the_commands_print_what_the_readme_says(name, tmp_path):
    if shutil.which("curl") is None:
        missing("curl")
    steps = run_tour(section(name), f"sqlite:///{tmp_path / 'cashman.db'}")
    assert len(steps) > 10
    assert [(command, shape(printed)) for command, _, printed in steps] == [
        (command, shape(said)) for command, said, _ in steps
    ]


def test_the_settings_are_those_of_the_schema():
    assert section("settings") == config.markdown()
    bootstrap = (REPOSITORY / "bootstrap.sh").read_text(encoding="utf-8")
    for variable, (default, maximum, _) in config.SERVER_SETTINGS.items():
        assert f'{variable}="${{{variable}:-{default}}}"' in bootstrap
        assert f'whole_number {variable} "${variable}" {maximum}\n' in bootstrap


def test_the_example_environment_names_every_setting():
    example = (REPOSITORY / ".env.example").read_text(encoding="utf-8")
    named = set(re.findall(r"(?m)^#([A-Z_]+)=", example))
    assert {PREFIX + name.upper() for name in ConfigSchema().fields} | {"PORT", "WEB_CONCURRENCY"} <= named


def first_cells(table: str) -> list[str]:
    """The names in the first column of a table."""
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row.split(" | ")[0])]


def wire_names(schema: Schema) -> set[str]:
    """The names under which a schema takes its fields."""
    return {field.data_key or name for name, field in schema.load_fields.items()}


IN_A_NAMED_LEDGER = "/ledgers/{ledger_ulid}/…"
"""The one row of the table of routes for all that stand in it a second time."""


def routes_table() -> str:
    """The README's table of routes."""
    return README.split("## The API\n")[1].split("\n### ")[0]


def named_routes() -> list[tuple[str, set[str]]]:
    """Each path of the table of routes with its methods; a path without methods has those of the one before it."""
    found = []
    for cell in first_cells(routes_table()):
        if cell == IN_A_NAMED_LEDGER:
            continue
        methods, _, path = cell.rpartition(" ")
        found.append((path.split("?")[0], set(methods.split(", ")) if methods else found[-1][1]))
    return found


@pytest.fixture(scope="module")
def paths() -> dict[str, set[str]]:
    """The methods of every path of the OpenAPI document."""
    document = make_document(create_app({}))
    return {path: {method.upper() for method in operations} for path, operations in document["paths"].items()}


def test_every_route_of_the_readme_is_there_with_its_methods(paths):
    assert len(named_routes()) > 20
    for path, methods in named_routes():
        assert methods <= paths[path], path


def test_every_route_and_method_is_in_the_readme(paths):
    named = {}
    for path, methods in named_routes():
        named[path] = named.get(path, set()) | methods
    for path, methods in paths.items():
        general = re.sub(r"^/(incomes|expenses)/", "/transactions/", path)
        assert methods <= named.get(general, set()) or path == "/problems/{slug}", path


def test_what_can_be_asked_of_a_named_ledger_is_said_in_one_row():
    rules = list(create_app({}).url_map.iter_rules())
    prefix = "/ledgers/<ulid:ledger_ulid>"
    in_own = {rule.rule: rule.methods for rule in rules if not rule.rule.startswith(prefix)}
    in_named = {
        rule.rule.removeprefix(prefix): rule.methods
        for rule in rules
        if rule.endpoint.startswith(f"{OF_A_NAMED_LEDGER}.")
    }
    assert in_named.items() <= in_own.items()
    (row,) = [line for line in routes_table().splitlines() if IN_A_NAMED_LEDGER in line]
    said = re.findall(r"`([a-z-]+)`", row.split(" | ")[1])
    assert len(said) == len(set(said))
    assert set(said) == {path.split("/")[1] for path in in_named}
    # Some pages are about no ledger, such as the one to sign in.
    assert not {path for path in in_own if path.split("/")[1] in set(said) - {"pages"}} - in_named.keys()


def test_every_problem_is_in_the_readme_with_its_status():
    table = re.findall(r"(?m)^\| (\d{3}) \| `([a-z-]+)` \|", README)
    raised = {(str(kind.status), kind.slug) for kind in errors.Problem.__subclasses__() if hasattr(kind, "status")}
    assert len(set(table)) == len(table)
    assert set(table) == raised - {("500", errors.ServiceFault.slug)}


def test_the_filters_of_the_readme_are_those_of_the_lists():
    assert set(first_cells(section("filters"))) == wire_names(FilterSchema())


def test_the_parameters_of_a_summary_are_those_of_its_schema():
    table = README.split("`/reports/summary` adds up")[1].split("\n\n")[1]
    assert {name.split("=")[0] for name in first_cells(table)} == wire_names(SummarySchema())
    dimensions = re.search(r"(?m)^\| `by` \|(.*)\|$", table)[1]
    assert set(re.findall(r"`(\w+)`", dimensions)) == set(DIMENSIONS)


def test_the_kinds_of_an_account_are_those_of_its_schema():
    said = re.search(r"a `kind`\s\(([^)]*)\)", README)[1]
    assert set(re.findall(r"`(\w+)`", said)) == {*KINDS, "null"}


def test_the_limits_of_the_readme_are_those_of_the_code():
    for name, said in {
        "PAGE_ROWS_DEFAULT": r"rows on a page: (\d+)",
        "PAGE_ROWS_MAX": r"rows on a page: \d+, at most ([\d,]+)",
        "SEARCH_CHARACTERS_MAX": r"any text of up to (\d+) characters",
        "LINES_MAX": r"from 1 to (\d+)\.",
        "BATCH_TRANSACTIONS_MAX": r"up to ([\d,]+) in one commit",
        "MINOR_UNITS_MAX": r"At most ([\d,]+) minor units",
        "PASSWORD_CHARACTERS_MIN": r"A password\s+has (\d+) to \d+ characters",
        "PASSWORD_CHARACTERS_MAX": r"A password\s+has \d+ to (\d+) characters",
        "SIGN_IN_TRIES_OF_ACCOUNT": r"After (\d+) wrong tries for one e-mail",
        "SIGN_IN_TRIES_OF_ADDRESS": r"or (\d+) from one address",
        "API_KEYS_MAX": r"A user has at most (\d+) API\s+keys",
        "SESSIONS_MAX": r"API\s+keys, (\d+) sessions",
        "LEDGERS_MAX": r"and (\d+) ledgers",
        "LEDGER_MEMBERS_MAX": r"a ledger ([\d,]+) members",
        "IMPORT_ROWS_MAX": r"one commit, up to ([\d,]+) rows",
        "IMPORT_CHUNK_ROWS": r"in chunks of ([\d,]+) that",
        "TOKEN_CHARACTERS_MAX": r"A token has at most ([\d,]+)\s+characters",
    }.items():
        assert int(re.search(said, README)[1].replace(",", "")) == getattr(limits, name), name
    for name, said, seconds in (
        ("ACCESS_SECONDS", r"An access token is good for (\d+) minutes", 60),
        ("REFRESH_SECONDS", r"It is good for (\d+) days", 86_400),
        ("SIGN_IN_SECONDS", r"within (\d+) minutes", 60),
    ):
        assert int(re.search(said, README)[1]) * seconds == getattr(limits, name), name


def test_the_commands_of_the_readme_are_those_of_the_command_line():
    def paths(command: click.Command, path: str) -> set[str]:
        if not isinstance(command, click.Group):
            return {path}
        context = click.Context(command)
        parts = {name: command.get_command(context, name) for name in command.list_commands(context)}
        return {found for name, part in parts.items() for found in paths(part, f"{path} {name}")}

    table = README.split("| command | |\n")[1].split("\n\n")[0]
    assert {re.sub(r"( [A-Z][A-Z-]+)+$", "", cell) for cell in first_cells(table)} == paths(cli.cashman, "cashman")


def test_the_languages_of_the_readme_are_those_that_there_are():
    said = re.search(r"Errors and pages are in ([^.]*?), as", README)[1]
    languages = {Locale.parse(language).english_name for language in LANGUAGES}
    assert (
        set(re.split(r", | or ", " ".join(said.split()).replace("Brazilian Portuguese", "Portuguese (Brazil)")))
        == languages
    )


def test_the_journal_entry_of_the_architecture_has_the_hashes_that_are_said():
    (entry_command, entry_hash), (words_command, words_hash) = tour(section("journal", ARCHITECTURE))
    for command, said in ((entry_command, entry_hash), (words_command, words_hash)):
        result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=True)
        assert result.stdout.strip() == said
    assert f'"words_sha256":"{words_hash.split()[0]}"' in entry_command


def test_the_kinds_of_entries_are_those_of_the_journal(client):
    """Does all that can be done over HTTP, and compares what the journal then says with the architecture's table."""
    for method, path, body in (
        ("POST", "/expenses", {"id": ID, "description": "pizza", "amount": 5, "category": "Food"}),
        ("PATCH", f"/expenses/{ID}", {"amount": 6}),
        ("DELETE", f"/expenses/{ID}", None),
        ("POST", f"/expenses/{ID}/restore", None),
        ("POST", f"/expenses/{ID}/redact", None),
        ("POST", "/accounts", {"name": "card"}),
        ("PATCH", "/accounts/9", {"kind": "card"}),
        ("PATCH", "/accounts/9", {"name": "debit card"}),
        ("DELETE", "/accounts/9", None),
        ("POST", "/categories/rename", {"from": "Food", "to": "Meals"}),
        ("POST", "/categories/merge", {"from": "Meals", "to": "Fun"}),
        ("PATCH", "/ledger", {"closed_until": "2020-12-31"}),
    ):
        response = client.open(path, method=method, **({} if body is None else {"json": body}))
        assert response.status_code < 300, (method, path, response.get_data(as_text=True))
    entries = [json.loads(line["entry"]) for line in client.get("/journal").json]
    happened = {(entry["entity"], entry["kind"]): set(entry["figures"]) for entry in entries}
    said, before = {}, set()
    for line in section("kinds", ARCHITECTURE).splitlines()[2:]:
        entity, kind, figures = (cell.strip() for cell in line.split("|")[1:4])
        before = before if figures == "the same" else set(re.findall(r"`(\w+)`", figures))
        said[(entity.strip("`"), kind.strip("`"))] = before
    assert said == happened


def test_the_layers_of_the_architecture_are_those_that_are_checked():
    configuration = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    layers = configuration["tool"]["importlinter"]["contracts"][0]["layers"]
    assert section("layers", ARCHITECTURE).strip("`\n").splitlines() == layers


def test_the_tree_of_the_architecture_names_every_module_and_nothing_else():
    modules = {
        str(path.relative_to(REPOSITORY / "cashman"))
        for path in (REPOSITORY / "cashman").rglob("*.py")
        if "migrations" not in path.parts and path.name != "__init__.py"
    }
    lines = section("tree", ARCHITECTURE).split("cashman/\n")[1].split("\nbenchmarks/")[0].splitlines()
    named = {name for line in lines for name in re.findall(r"[\w/]+\.py\b", line.split("  ", 2)[1].split("   ")[0])}
    assert named == modules


def test_every_dependency_has_its_reason():
    pipfile = tomllib.loads((REPOSITORY / "Pipfile").read_text(encoding="utf-8"))
    packages = {*pipfile["packages"], *pipfile["dev-packages"]}
    table = ARCHITECTURE.split("## Why each dependency is there")[1].split("\n## ")[0]
    cells = re.findall(r"(?m)^\| ([^|]+) \|", table)
    explained = {name for cell in cells for name in re.split(r", | \(", cell.strip())}
    assert packages <= explained


def test_every_table_is_described(tmp_path):
    books = Books(db.connect(f"sqlite:///{tmp_path / 'cashman.db'}"))
    books.database.open()
    try:
        tables = set(inspect(books.database.engine).get_table_names())
    finally:
        books.database.close()
    described = ARCHITECTURE.split("## The tables")[1].split("\n## ")[0]
    assert {name for name in re.findall(r"`(\w+)`", described) if name in tables} == tables
