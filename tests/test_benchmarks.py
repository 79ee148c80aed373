import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import missing

from benchmarks import at_a_million, load, machine, servers, writes_and_reads
from benchmarks.__main__ import main
from benchmarks.load import Sample
from benchmarks.options import Options
from benchmarks.report import Comparison, Report
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
    assert main([*short, "--folder", str(tmp_path), "--markdown", str(markdown)]) == 0
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
