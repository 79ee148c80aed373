"""The commands of the README and of ARCHITECTURE.md run, and their tables are those of the code."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import missing
from sqlalchemy import inspect

from benchmarks import servers
from cashman import db, errors
from cashman.config import INSTANCE_FOLDER, PREFIX, ConfigSchema
from cashman.documentation import make_document
from cashman.index import create_app
from cashman.ledger import Books

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")

CHANGING = (
    (r"\b[0-7][0-9A-HJKMNP-TV-Z]{25}\b", "<ulid>"),
    (r"\b[0-9a-f]{64}\b", "<hash>"),
    (r"\b[0-9a-f]{32}\b", "<salt>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", "<instant>"),
    (r"\d{4}-\d\d-\d\d", "<day>"),
    (r"(?m)^Date: .*$", "Date: <now>"),
)
"""What is another each time, and what it is compared as."""


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
    """Each command of a text, what it is said to print and what it prints, all against one new ledger."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(PREFIX)},
        "CASHMAN_DATABASE_URL": database_url,
        "PYTHONPATH": str(REPOSITORY),
    }
    found = []
    with servers.cashman(database_url) as server:
        for command, said in tour(text):
            adapted = command.replace("localhost:5000", f"127.0.0.1:{server.port}")
            adapted = adapted.replace("./bootstrap.sh cli", f"'{sys.executable}' -m cashman")
            result = subprocess.run(
                ["sh", "-c", adapted], cwd=REPOSITORY, env=environment, capture_output=True, timeout=30, check=True
            )
            printed = result.stdout.decode().replace("\r\n", "\n").strip("\n")
            found.append((command, said, printed))
    return found


def shape(output: str) -> str:
    """An output without what is another each time."""
    for pattern, name in CHANGING:
        output = re.sub(pattern, name, output)
    return output.strip()


def settings_table() -> str:
    """The README's table of settings."""
    bootstrap = (REPOSITORY / "bootstrap.sh").read_text(encoding="utf-8")
    rows = []
    for name, field in ConfigSchema().fields.items():
        default = "" if field.load_default is None else f"`{field.load_default}`"
        default = default.replace(str(INSTANCE_FOLDER), "…/instance")
        rows.append((f"`{PREFIX}{name.upper()}`", default, field.metadata["description"]))
    for name, description in (("PORT", "The port to serve on."), ("WEB_CONCURRENCY", "How many worker processes.")):
        default = re.search(rf'{name}="\${{{name}:-(\d+)}}"', bootstrap).group(1)
        rows.append((f"`{name}`", f"`{default}`", description))
    lines = ["| setting | default | meaning |", "| --- | --- | --- |", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"


def test_the_tour_prints_what_the_readme_says(tmp_path):
    if shutil.which("curl") is None:
        missing("curl")
    steps = run_tour(section("tour"), f"sqlite:///{tmp_path / 'cashman.db'}")
    assert len(steps) > 10
    assert [(command, shape(printed)) for command, _, printed in steps] == [
        (command, shape(said)) for command, said, _ in steps
    ]


def test_the_settings_are_those_of_the_schema():
    assert section("settings") == settings_table()


def test_the_example_environment_names_every_setting():
    example = (REPOSITORY / ".env.example").read_text(encoding="utf-8")
    named = set(re.findall(r"(?m)^#([A-Z_]+)=", example))
    assert {PREFIX + name.upper() for name in ConfigSchema().fields} | {"PORT", "WEB_CONCURRENCY"} <= named


@pytest.fixture(scope="module")
def paths() -> dict[str, set[str]]:
    """The methods of every path of the OpenAPI document."""
    document = make_document(create_app({}))
    return {path: {method.upper() for method in operations} for path, operations in document["paths"].items()}


def test_every_route_of_the_readme_is_there_with_its_methods(paths):
    routes = re.findall(r"(?m)^\| `([A-Z, ]+) (/[^`]*)`(?:, `(/[^`]*)`)? \|", README)
    assert len(routes) > 10
    for methods, *named in routes:
        for path in filter(None, named):
            assert set(methods.split(", ")) <= paths[path.split("?")[0]], path


def test_every_route_is_in_the_readme(paths):
    section_text = README.split("## The API")[1].split("\n## ")[0]
    for path in paths:
        general = re.sub(r"^/(incomes|expenses)/", "/transactions/", path)
        assert f"{general}`" in section_text or f"{general}?" in section_text or path == "/problems/{slug}", path


def test_every_status_of_a_problem_is_in_the_readme():
    table = set(re.findall(r"(?m)^\| (\d{3}) \|", README))
    raised = {str(problem.status) for problem in errors.Problem.__subclasses__() if hasattr(problem, "status")}
    assert raised - {"500"} == table


def test_the_journal_entry_of_the_architecture_has_the_hashes_that_are_said():
    (entry_command, entry_hash), (words_command, words_hash) = tour(section("journal", ARCHITECTURE))
    for command, said in ((entry_command, entry_hash), (words_command, words_hash)):
        result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=True)
        assert result.stdout.strip() == said
    assert f'"words_sha256":"{words_hash.split()[0]}"' in entry_command


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
