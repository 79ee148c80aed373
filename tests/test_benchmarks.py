import os
import re
import select
import shutil
import sqlite3
import threading
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import missing
from sqlalchemy import make_url

from benchmarks import at_a_million, first_view, household, load, machine, questions, reading, servers, writes_and_reads
from benchmarks.__main__ import main
from benchmarks.load import Sample
from benchmarks.options import Options
from benchmarks.report import Comparison, Report, Row, p99
from benchmarks.servers import Server, Unusable

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("CASHMAN_TEST_SHARED", REPOSITORY.parent / "shared"))


def sample(per_second: float, p99_ms: float = 1.0) -> Sample:
    return Sample(int(per_second * 10), 0, 10.0, p99_ms, 100.0, 0.0)


def test_the_toy_is_the_one_that_others_measure_against():
    original = SHARED / "bench" / "tutorial.py"
    if not original.exists():
        pytest.skip("the original toy is not on this machine")
    assert (REPOSITORY / "benchmarks" / "tutorial.py").read_bytes() == original.read_bytes()


def test_the_ratio_is_that_of_the_medians_whatever_one_round_says():
    comparison = Comparison(
        "POST", [sample(1000), sample(4000), sample(2000)], [sample(3000), sample(10), sample(1000)]
    )
    assert comparison.ratio == 1000 / 2000
    assert comparison.ratios == [3.0, 0.0025, 0.5]


def test_the_p99_is_compared_too():
    comparison = Comparison("POST", [sample(1, p99_ms=10.0)], [sample(1, p99_ms=25.0)])
    assert comparison.p99_ratio == 2.5


def test_a_report_shows_each_figure_with_its_spread():
    comparison = Comparison("POST", [sample(2000), sample(1000)], [sample(3000), sample(1000)])
    text = Report("Title", ["a machine"], [comparison], ["all is well"]).text()
    assert "| POST | 1500 (1000 to 2000)" in text
    assert "**1.33** (1.00 to 1.50)" in text
    assert "- all is well" in text


def test_a_missing_load_generator_is_told_in_one_line(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    assert main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "benchmarks: wrk is missing, and the benchmarks load the servers with it (apt install wrk)"
    ]


def test_a_ledger_in_memory_is_not_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "file_system", lambda folder: "tmpfs")
    with pytest.raises(Unusable, match="durable write costs nothing"), Options(folder=tmp_path).fresh_ledger():
        pass


def test_a_failing_answer_makes_a_sample_unusable(tmp_path):
    if shutil.which("wrk") is None:
        missing("wrk")
    with (
        Options(folder=tmp_path).fresh_ledger() as url,
        servers.cashman(url, workers=1) as cashman,
        pytest.raises(Unusable, match="not every answer"),
    ):
        load.drive(cashman, "/expenses", body='{"amount": 50}', seconds=1, connections=2)


@pytest.mark.parametrize(("rows", "in_flight"), [(110, 0), (118, 8)])
def test_rows_are_the_acknowledged_posts_and_those_in_flight(monkeypatch, rows, in_flight):
    monkeypatch.setattr(writes_and_reads, "count_rows", lambda server: rows)
    assert writes_and_reads.check_rows(Server("x", 0, 0), sample(1), connections=8, before=100) == in_flight


@pytest.mark.parametrize("rows", [109, 119])
def test_a_lost_or_a_doubled_row_makes_a_run_unusable(monkeypatch, rows):
    monkeypatch.setattr(writes_and_reads, "count_rows", lambda server: rows)
    with pytest.raises(Unusable, match=f"110 POSTs were acknowledged, {rows} rows are there"):
        writes_and_reads.check_rows(Server("x", 0, 0), sample(1), connections=8, before=100)


def test_the_least_disturbed_sample_is_kept_and_the_others_are_counted(monkeypatch):
    tries = iter([replace(sample(1), others=0.5), replace(sample(2), others=0.2), replace(sample(3), others=0.4)])
    monkeypatch.setattr(writes_and_reads, "drive", lambda *arguments, **how: next(tries))
    kept = writes_and_reads.measure(Options(quiet_seconds=0, tries=3), Server("x", 0, 0), "/expenses")
    assert (kept.others, kept.requests, kept.requests_of_all_tries) == (0.2, 20, 60)


def test_a_short_run_prints_its_table_and_keeps_it(tmp_path, capsys):
    if shutil.which("wrk") is None:
        missing("wrk")
    markdown = tmp_path / "results.md"
    short = [
        "writes_and_reads",
        "--seconds",
        "1",
        "--rounds",
        "1",
        "--connections",
        "8",
        "--quiet",
        "0",
        "--tries",
        "1",
    ]
    assert main([*short, "--folder", str(tmp_path / "not" / "there"), "--markdown", str(markdown)]) == 0
    shown = capsys.readouterr().out
    assert "| POST /expenses " in shown
    written = markdown.read_text()
    assert [line for line in shown.splitlines() if line not in written] == []


def test_a_large_ledger_is_filled_measured_and_proved(tmp_path):
    if shutil.which("wrk") is None:
        missing("wrk")
    folder = Path(os.environ.get("CASHMAN_TEST_DISK", tmp_path))
    options = Options(seconds=1, rounds=1, connections=4, folder=folder, transactions=10_000, quiet_seconds=0, tries=1)
    if machine.file_system(folder) in ("tmpfs", "ramfs"):
        pytest.skip("the temporary folder is in memory, and a benchmark needs a disk")
    text = at_a_million.run(options).text()
    assert "it said: sound: ledger" in text
    assert "10,000 transactions recorded in batches of 10,000" in text


def test_each_rare_word_stands_as_often_as_a_search_is_to_find_it():
    words = [word for made in household.transactions(12_000) for word in made.description.split() if "q" in word]
    assert {word: words.count(word) for word in set(words)} == dict.fromkeys(household.rare_words(12_000), 50)
    assert len(household.rare_words(12_000)) == 2


def test_the_planted_month_is_alike_in_every_ledger_and_holds_nothing_else():
    planted = [
        [made.content() for made in household.transactions(count) if made.date >= household.PLANTED_MONTH]
        for count in (household.SMALL, 3_000)
    ]
    assert planted[0] == planted[1]
    assert len(planted[0]) == household.PLANTED
    assert max(content["date"] for content in planted[0]) <= household.LAST_DAY


def test_a_household_uses_all_of_its_accounts_categories_payees_and_tags():
    made = list(household.transactions(household.SMALL))
    assert len(made) == household.SMALL
    assert {one.account for one in made} == set(household.ACCOUNTS)
    assert {one.category for one in made} == set(household.CATEGORIES)
    assert {tag for one in made for tag in one.tags} == set(household.TAGS)
    assert 0.15 < sum(bool(one.tags) for one in made) / len(made) < 0.25


def test_a_filled_file_is_kept_and_what_is_measured_is_a_copy(monkeypatch, tmp_path):
    filled = []

    def make(url, count):
        with closing(sqlite3.connect(make_url(url).database)) as connection:
            connection.executescript(f"CREATE TABLE rows (n); INSERT INTO rows VALUES ({count})")
        filled.append(count)
        return 1.0

    monkeypatch.setattr(household, "make", make)
    monkeypatch.setattr(machine, "file_system", lambda folder: "ext4")
    options = Options(folder=tmp_path / "run", keep=tmp_path / "kept")
    for _ in range(2):
        with (
            household.ledger(options, 7, "small") as (url, _said),
            closing(sqlite3.connect(make_url(url).database)) as connection,
            connection,
        ):
            assert connection.execute("UPDATE rows SET n = n + 1 RETURNING n").fetchall() == [(8,)]
    assert filled == [7]
    assert [file.suffix for file in (tmp_path / "kept").iterdir()] == [".db"]


@pytest.mark.parametrize(
    ("at_most", "measured", "holds"),
    [(True, 2.0, True), (True, 2.1, False), (False, 2.0, True), (False, 1.9, False)],
)
def test_a_bound_holds_up_to_itself(at_most, measured, holds):
    row = Row("what", [measured], [1.0], "ms", 2.0, at_most=at_most)
    assert row.holds is holds
    assert row.cells()[6] == ("yes" if holds else "**no**")


def test_a_row_without_a_bound_is_shown_and_not_judged():
    row = Row("what", [300.0, 100.0], [100.0, 100.0], "req/s", others=[0.02, 0.3, 0.01])
    assert row.cells() == (
        "what",
        "200 (100 to 300) req/s",
        "100 (100 to 100) req/s",
        "**2.00** (1.00 to 3.00)",
        "",
        "",
        "",
        "2% (at most 30%)",
    )


def test_the_p99_is_the_value_that_one_in_a_hundred_passes():
    assert p99([float(number) for number in range(200, 0, -1)]) == 199.0
    assert p99([3.0]) == 3.0


def test_a_report_that_differs_starts_where_no_transaction_is_yet():
    starts = [questions._earlier_month(number) for number in range(14)]
    assert starts[0] == household.FIRST_DAY
    assert (starts[1], starts[12], starts[13]) == (date(2020, 12, 1), date(2020, 1, 1), date(2019, 12, 1))


@pytest.mark.parametrize("name", [*questions.REPORTS, *questions.filters(1_000_000)])
def test_a_different_query_each_time_is_different_each_time(name):
    path = {**questions.REPORTS, **questions.filters(1_000_000)}[name]
    assert len({path(number) for number in range(180)}) in (180, 20 if "frequent" in name else 180)


def test_amounts_are_sought_in_ranges_of_whole_cents():
    path = questions.filters(1_000_000)["amounts 10 wide (1 %)"]
    assert path(0) == "/expenses?limit=100&min_amount=0.10&max_amount=10.09"
    assert path(1) == "/expenses?limit=100&min_amount=37.11&max_amount=47.10"


@contextmanager
def listening():
    """A server that counts what it is asked, answers 404 below /missing, and hangs up after /last."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            asked.append(self.path)
            body = b"x" * 300_000
            self.send_response(404 if self.path == "/missing" else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = self.path == "/last"

        def do_POST(self):
            asked.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield Server("a server", server.server_address[1], os.getpid()), asked
        finally:
            server.shutdown()
            thread.join()


def test_one_client_reads_the_whole_answer_and_comes_back_where_the_server_hung_up():
    with listening() as (server, asked), load.Client(server) as client:
        waited = [client.get("/one"), client.get("/last")]
        # Until the server has closed; asking before that would be its fault and not the client's.
        select.select([client._socket], [], [], 5)
        waited += [client.get("/two"), client.post("/", '{"a": 1}')]
    assert asked == ["/one", "/last", "/two", '{"a": 1}']
    assert all(milliseconds > 0 for milliseconds in waited)


def test_an_answer_that_is_no_success_ends_the_measurement():
    with (
        listening() as (server, _asked),
        load.Client(server) as client,
        pytest.raises(Unusable, match=r"a server: GET /missing answered HTTP/1\.1 404"),
    ):
        client.get("/missing")


def test_many_paths_are_asked_for_in_turn():
    if shutil.which("wrk") is None:
        missing("wrk")
    with listening() as (server, asked):
        load.drive(server, ["/a?b=%20c", "/d", "/e"], seconds=1, connections=1)
    turn = {"/a?b=%20c": "/d", "/d": "/e", "/e": "/a?b=%20c"}
    assert len(asked) > 3
    assert asked[1:] == [turn[path] for path in asked[:-1]]


def test_the_memory_of_a_process_is_its_own_and_that_of_mapped_files():
    held = machine.memory_megabytes(os.getpid())
    assert 0 < held["RssAnon"] < held["VmRSS"] <= held["VmHWM"]


def test_what_the_servers_take_is_not_counted_as_their_neighbours(monkeypatch):
    busy = iter([10.0, 11.0])
    monkeypatch.setattr(machine, "busy_seconds", lambda: next(busy))
    taken = iter([2.0, 2.5])
    monkeypatch.setattr(machine, "cpu_seconds", lambda pids: next(taken))
    neighbours = machine.Neighbours([1])
    neighbours._began -= 100.0
    assert 0.0 < neighbours.share() <= 0.5 / 100 / machine.cores()


def test_reading_asks_every_server_for_everything(monkeypatch, tmp_path):
    folder = Path(os.environ.get("CASHMAN_TEST_DISK", tmp_path))
    if machine.file_system(folder) in ("tmpfs", "ramfs"):
        pytest.skip("the temporary folder is in memory, and a benchmark needs a disk")

    def measure(options, server, path, body=None, **how):
        for one in [path] if isinstance(path, str) else path[:3]:
            status = server.request("GET" if body is None else "POST", one, body)[0]
            assert status == (200 if body is None else 204), f"{server.name}: {one}"
        return Sample(1, 0, 1.0, 1.0, 1.0, 0.0)

    monkeypatch.setattr(reading, "measure", measure)
    monkeypatch.setattr(reading, "ASKED", 2)
    text = reading.run(Options(rounds=1, folder=folder, transactions=4_000, quiet_seconds=0, tries=1)).text()
    assert [name for name in (*questions.REPORTS, *questions.filters(4_000)) if name not in text] == []
    assert "| page 40 beside page 1: the same again " in text
    assert "4,000 transactions were recorded in batches of 10,000" in text


def test_the_first_view_is_measured_by_a_browser(monkeypatch, tmp_path):
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        missing("chromium (the package of that name)")
    folder = Path(os.environ.get("CASHMAN_TEST_DISK", tmp_path))
    if machine.file_system(folder) in ("tmpfs", "ramfs"):
        pytest.skip("the temporary folder is in memory, and a benchmark needs a disk")
    monkeypatch.setattr(first_view, "ASKED", 1)
    monkeypatch.setattr(first_view, "VISITS", 1)
    monkeypatch.setattr(first_view, "VIEWS", {"a year": "/?period=2025"})
    text = first_view.run(Options(folder=folder, transactions=4_000)).text()
    (row,) = [line for line in text.splitlines() if line.startswith("| a year |")]
    paint, bytes_sent = (float(found) for found in re.findall(r"\*\*([\d.]+)\*\*", row))
    assert paint > 0
    assert 5 < bytes_sent < 150
