"""A million rows of CSV in, and out again, by the command line; beside hledger and bean-check reading the same rows."""

import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from statistics import median

from benchmarks import machine
from benchmarks.at_a_million import Lines
from benchmarks.options import Options
from benchmarks.servers import REPOSITORY, Unusable

ROWS_OF_RIVALS_MAX = 100_000
"""hledger and bean-check keep all of a file in memory: they get so many rows at most, and are told by the row."""

_RULES = """skip 1
fields date, amount, account1, account2, payee, description
currency USD
date-format %Y-%m-%d
"""


def run(options: Options) -> Lines:
    """Import and export a file in fresh ledgers, in turn with the rivals."""
    rows = options.transactions
    with tempfile.TemporaryDirectory(prefix="in-and-out-", dir=options.folder) as name:
        folder = Path(name)
        statement = write_statement(folder / "statement.csv", rows)
        imported: list[tuple[float, float]] = []
        exported: dict[str, list[tuple[float, float]]] = {
            form: [] for form in ("csv", "ndjson", "beancount", "hledger")
        }
        for _ in range(options.rounds):
            with options.fresh_ledger() as url:
                imported.append(_timed(rows, [sys.executable, "-m", "cashman", "import", str(statement)], url))
                for form, figures in exported.items():
                    to = folder / f"books.{form}"
                    command = [sys.executable, "-m", "cashman", "export", form, "--output", str(to)]
                    figures.append(_timed(rows, command, url))
        few = min(rows, ROWS_OF_RIVALS_MAX)
        small = write_statement(folder / "small.csv", few)
        rivals = [_rival_import(few, small, folder), *_rival_checks(few, small, options, folder)]
    figures = [
        f"`cashman import` of {rows:,} rows of CSV into an empty ledger: {_told(imported)}",
        *(f"`cashman export {form}` of them: {_told(figures)}" for form, figures in exported.items()),
        *rivals,
    ]
    return Lines("In and out", [*machine.describe(), f"{options.rounds} rounds, {rows:,} rows"], figures)


def write_statement(path: Path, rows: int) -> Path:
    """A statement in CSV: a date, an amount, two accounts, a payee and a description, in the order of the dates."""
    choice = random.Random(2026)
    first, a_day = date(2015, 1, 1), max(1, rows // 3_650)
    payees = [f"Payee {number}" for number in range(400)]
    categories = [f"Food:Kind {number}" for number in range(60)]
    with path.open("w", encoding="utf-8") as file:
        file.write("date,amount,account,category,payee,description\n")
        for number in range(rows):
            day = first + timedelta(days=number // a_day)
            cents = choice.randint(100, 20_000)
            sign = "-" if number % 10 else ""
            words = (
                f"{choice.choice(categories)},{choice.choice(payees)},Bought {choice.choice(payees)} number {number}"
            )
            file.write(f"{day},{sign}{cents // 100}.{cents % 100:02},Assets:Checking,{words}\n")
    return path


def _timed(rows: int, command: Sequence[str], url: str = "") -> tuple[float, float]:
    """Rows a second of a program, and its peak memory in MB."""
    script = (
        "import resource, subprocess, sys\n"
        "code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        "sys.exit(code)"
    )
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script, *command],
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "CASHMAN_DATABASE_URL": url},
        capture_output=True,
        text=True,
    )
    seconds = time.monotonic() - start
    if done.returncode:
        raise Unusable(f"{' '.join(command[:4])}: {done.stderr.strip()[-300:]}")
    return rows / seconds, int(done.stdout.split()[-1]) / 1024


def _told(figures: Sequence[tuple[float, float]]) -> str:
    rates, peaks = zip(*figures, strict=True)
    return (
        f"**{median(rates):,.0f}** rows a second ({min(rates):,.0f} to {max(rates):,.0f}), "
        f"peak memory {max(peaks):.0f} MB"
    )


def _rival_import(rows: int, statement: Path, folder: Path) -> str:
    """hledger reading the very CSV."""
    if shutil.which("hledger") is None:
        return "hledger is not there"
    rules = folder / "small.csv.rules"
    rules.write_text(_RULES)
    figure = _timed(rows, ["hledger", "--rules-file", str(rules), "-f", str(statement), "balance", "--depth", "1"])
    return f"`hledger balance` reading {rows:,} rows of the same CSV, which stores nothing: {_told([figure])}"


def _rival_checks(rows: int, statement: Path, options: Options, folder: Path) -> list[str]:
    """hledger and bean-check reading what Cashman exports of the same rows."""
    told = []
    with options.fresh_ledger() as url:
        _timed(rows, [sys.executable, "-m", "cashman", "import", str(statement)], url)
        for form, command in (("beancount", _bean_check()), ("hledger", ["hledger", "check", "--strict", "-f"])):
            to = folder / f"small.{form}"
            _timed(rows, [sys.executable, "-m", "cashman", "export", form, "--output", str(to)], url)
            if not command or shutil.which(command[0]) is None:
                told.append(f"{form} is not there")
                continue
            told.append(
                f"`{Path(command[0]).name}` reading {rows:,} of them: {_told([_timed(rows, [*command, str(to)])])}"
            )
    return told


def _bean_check() -> list[str]:
    beside = Path(sys.executable).with_name("bean-check")
    return [str(beside), "--no-cache"] if beside.exists() else []
