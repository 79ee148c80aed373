"""The harnesses, in short: each promise holds, and each harness can tell when it does not.

The long runs stand in torture/RESULTS.md.
"""

import json
import os
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from conftest import missing

from torture import (
    bank,
    clocks,
    crash,
    failover,
    paused_database,
    power_cut,
    repeats,
    rolling,
    scale,
    slow_clients,
    small_pool,
    store_faults,
    sync_before_answer,
    tamper,
)
from torture.service import Answer, Broken, Impossible, judge

pytestmark = pytest.mark.alone


def possible(harness: Callable[..., Any], **options: Any) -> Any:
    """What a harness comes to; skips where this machine cannot run it."""
    try:
        return harness(**options)
    except Impossible as impossible:
        missing(str(impossible))


def test_a_control_is_judged_by_what_was_found() -> None:
    def check(figures: dict[str, Any]) -> None:
        if figures["lost"]:
            raise Broken("lost")

    judge({"lost": 0}, check, control=False)
    judge({"lost": 1}, check, control=True)
    with pytest.raises(Broken, match="lost"):
        judge({"lost": 1}, check, control=False)
    with pytest.raises(Broken, match="cannot tell"):
        judge({"lost": 0}, check, control=True)


# kill -9.


@pytest.mark.parametrize(("engine", "restarts"), [("sqlite", 0), ("postgresql", 1)])
def test_what_is_acknowledged_survives_kill_9_and_nothing_is_done_twice(engine: str, restarts: int) -> None:
    if os.environ.get("CASHMAN_TEST_POSTGRESQL_URL") and engine == "postgresql":
        pytest.skip("the harness restarts PostgreSQL, and so wants one of its own")
    figures = possible(crash.crash, engine=engine, kills=2, clients=8, restarts=restarts, seed=5)
    crash.check(figures)
    assert figures["acknowledged"] > 50
    assert (figures["cashman verify"], figures["verify_journal.py"]) == ("sound", "sound")


def test_the_crash_harness_sees_what_is_lost_doubled_or_changed() -> None:
    told = crash.Told(
        expected={"a": ("one", "1.00", 1), "b": ("two", "2.00", 2), "c": ("three", "3.00", 1)}, voided={"c"}
    )
    stored = {"a": ("one", "1.00", 1), "b": ("two", "2.00", 2)}
    nothing = {"lost": 0, "doubled": 0, "not void": 0, "different": 0, "revised twice": 0}
    journaled = {"a": 1, "b": 2, "c": 2}
    assert crash._compare([told], stored, journaled) == nothing
    assert crash._compare([told], {"a": stored["a"]}, journaled) == {**nothing, "lost": 1}
    assert crash._compare([told], stored, {**journaled, "d": 1}) == {**nothing, "doubled": 1}
    assert crash._compare([told], {**stored, "c": ("three", "3.00", 1)}, journaled) == {**nothing, "not void": 1}
    assert crash._compare([told], {**stored, "a": ("one", "1.01", 1)}, journaled) == {**nothing, "different": 1}
    assert crash._compare([told], stored, {**journaled, "b": 3}) == {**nothing, "revised twice": 1}
    told.receipts |= {"1:aa", "2:bb", "2:cc"}
    assert crash._check_receipts([told], [{"hash": "aa"}, {"hash": "bb"}]) == 1
    with pytest.raises(Broken, match="lost"):
        crash.check(dict.fromkeys(crash.WRONG, 0) | {"lost": 1})


# Power cuts.


def test_a_power_cut_loses_nothing_that_was_acknowledged() -> None:
    figures = possible(power_cut.power_cut, cuts=3, seed=1)
    assert figures["acknowledged"] > 10
    assert (figures["lost"], figures["not sound"]) == (0, 0)


def test_without_a_sync_a_power_cut_does_lose() -> None:
    figures = possible(power_cut.power_cut, cuts=2, seed=1, control=True)
    assert figures["lost"] > 0


# What the kernel sees.


def test_the_log_is_synced_before_the_answer() -> None:
    figures = possible(sync_before_answer.sync_before_answer, writes=10)
    assert figures == {"writes": 10, "answers that followed a write": 10, "before the sync": 0}


def test_a_server_whose_syncs_are_kept_from_the_kernel_answers_too_early() -> None:
    figures = possible(sync_before_answer.sync_before_answer, writes=5, control=True)
    assert figures["before the sync"] == 5


def test_a_trace_is_read_as_it_happened() -> None:
    wrote = '7 1.0 pwrite64(9</d/cashman.db-wal>, "..", 4096, 32) = 4096'
    synced = "7 1.1 fdatasync(9</d/cashman.db-wal>) = 0"
    answered = '8 1.2 sendto(5<socket:[1]>, "HTTP/1.1 204 NO CONTENT\\r\\n"..., 90, 0, NULL, 0) = 90'
    begun = "7 1.1 fdatasync(9</d/cashman.db-wal> <unfinished ...>"
    ended = "7 1.3 <... fdatasync resumed>) = 0"
    assert _early([wrote, synced, answered]) == (1, 0)
    assert _early([wrote, answered]) == (1, 1)
    assert _early([synced, wrote, answered]) == (1, 1)
    assert _early([wrote, begun, ended, answered]) == (1, 0)
    assert _early([wrote, begun, answered, ended]) == (1, 1)
    assert _early([wrote, synced.replace("= 0", "= 0 (INJECTED)"), answered]) == (1, 1)
    assert _early([wrote, synced.replace("cashman.db-wal", "cashman.db"), answered]) == (1, 1)
    assert _early([answered, "what strace says beside it"]) == (0, 0)


def _early(trace: list[str]) -> tuple[int, int]:
    return sync_before_answer.unsynced_answers(sync_before_answer.events(trace))


# The same request over and over.


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_key_sent_10_times_from_two_processes_is_one_row_and_one_answer(engine: str) -> None:
    figures = possible(repeats.repeats, engine=engine, keys=50, times=10)
    assert {name: figures[name] for name in repeats.WRONG} == dict.fromkeys(repeats.WRONG, 0)
    assert (figures["requests"], figures["answers that were first"], figures["cashman verify"]) == (500, 50, "sound")


def test_without_keys_each_request_is_a_row() -> None:
    figures = possible(repeats.repeats, keys=5, times=4, with_keys=False)
    assert (figures["keys with other than one row"], figures["answers that were first"]) == (5, 20)


# Changes behind the service's back.


def test_every_change_to_a_row_is_found(empty_url: str) -> None:
    figures = tamper.tamper_with(empty_url, changes=150)
    assert figures["changes"] == 150
    for table in (*tamper.BY_BOTH, *tamper.BY_VERIFY):
        assert figures[f"in {table}"] > 0


@pytest.mark.parametrize("blind", ["found_by_verify", "found_independently"])
def test_the_tamper_harness_sees_a_verifier_that_is_blind(blind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tamper, blind, lambda *_: None)
    with pytest.raises(Broken, match="were not found"):
        tamper.tamper(changes=40)


def test_a_cleanly_cut_tail_is_found_by_a_receipt_alone(empty_url: str) -> None:
    found = tamper.cut_tail(empty_url)
    assert found["without a receipt"] == (None, None)
    assert found["with a receipt from before the cut"] == (None, None)
    assert all("is not in the chain" in str(finding) for finding in found["with a receipt from after the cut"])


# Slow clients.


def test_slow_clients_do_not_stop_a_healthy_one() -> None:
    figures = possible(slow_clients.slow_clients, connections=300, requests=150)
    slow_clients.check(figures)
    assert figures["requests"] == 150


def test_slow_clients_do_stop_a_server_with_sync_workers() -> None:
    figures = possible(slow_clients.slow_clients, connections=30, requests=20, control=True)
    with pytest.raises(Broken, match="unanswered: 1"):
        slow_clients.check(figures)


def test_strace_is_wanted_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(Impossible, match="strace is not installed"):
        sync_before_answer.sync_before_answer()


# PostgreSQL with a standby.


def test_failover_loses_nothing_and_does_nothing_twice() -> None:
    figures = possible(failover.failover, promotions=1, restarts=1, clients=6, seed=3)
    check = {name: figures[name] for name in failover.WRONG}
    assert check == dict.fromkeys(failover.WRONG, 0)
    assert figures["acknowledged"] > 20
    assert (figures["cashman verify"], figures["verify_journal.py"]) == ("sound", "sound")


def test_an_asynchronous_standby_does_lose() -> None:
    figures = possible(failover.without_synchrony, seed=1)
    assert figures["lost"] > 0


@pytest.mark.parametrize("with_keys", [True, False])
def test_a_connection_that_is_cut_after_commit_is_one_booking_under_a_key(with_keys: bool) -> None:
    figures = possible(failover.cut_after_commit, cuts=4, seed=1, with_keys=with_keys)
    assert (figures["lost"], figures["doubled"]) == (0, 0 if with_keys else 4)
    assert figures["answered 503"] >= 4
    assert figures["cashman verify"] == "sound"


# A store that fails.


@pytest.mark.parametrize(
    "harness", [store_faults.on_sqlite, store_faults.on_a_disk_that_is_exchanged, store_faults.on_postgresql]
)
def test_a_store_that_fails_loses_nothing_and_is_used_again_once_it_works(harness: Callable[..., Any]) -> None:
    figures = possible(harness, writes=4)
    store_faults.check(figures)
    assert figures["acknowledged"] > 10
    assert figures["reads"] > 1
    assert figures["cashman verify"] == "sound"


def test_the_harness_of_faults_sees_what_is_lost_or_doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    booker = store_faults.Booker(1)
    booker.acknowledged = {1: "a", 2: "b"}
    rows = [{"description": "number 2"}, {"description": "number 2"}]
    monkeypatch.setattr(booker.caller, "ask", lambda *_: Answer(200, {}, json.dumps(rows).encode()))
    assert booker.differences() == {"lost": 1, "doubled": 1}
    with pytest.raises(Broken, match="lost: 1"):
        store_faults.check(booker.differences())


# A bank's check.


def test_every_report_is_what_the_journal_up_to_its_head_comes_to() -> None:
    figures = possible(bank.bank, minutes=0.1, reads=300, clients=16, ledgers=4, pause=3, seed=1)
    assert {name: figures[name] for name in bank.WRONG} == dict.fromkeys(bank.WRONG, 0)
    assert figures["heads"] > 20
    assert figures["cashman verify"] == "sound"


def test_the_bank_sees_one_digit_that_is_wrong() -> None:
    opened = {"name": "main", "opening_minor_units": 500, "opening_date": "2026-01-01"}
    entry = {"entity": "account", "entity_id": "1", "figures": opened}
    right = b'[{"account":"main","currency":"USD","balance":5.00,"available":5.00,"as_of":"2026-11-28"}]'
    reads = {("/balances", "1:aa"): {right}}
    assert bank.compare([("1:aa", entry)], reads) == []
    assert bank._lie(reads)[0] == ("/balances", "1:aa")
    assert len(bank.compare([("1:aa", entry)], reads)) == 1
    assert bank.compare([("1:bb", entry)], reads) == ["1:aa is not in the journal"]


# What else an operator meets.


def test_200_clients_on_a_pool_of_5_are_all_answered() -> None:
    figures = possible(small_pool.small_pool, requests=2)
    small_pool.check(figures)
    assert (figures["requests"], figures["most connections"], figures["cashman verify"]) == (400, 5, "sound")


def test_as_many_connections_as_clients_are_more_than_a_server_takes() -> None:
    figures = possible(small_pool.small_pool, requests=2, control=True)
    with pytest.raises(Broken, match="told 503"):
        small_pool.check(figures)


def test_clocks_that_step_lose_nothing_and_entries_go_on_in_order() -> None:
    figures = possible(clocks.clocks, bookings=4)
    clocks.check(figures)
    assert figures["an hour back"]["booked anew"] == figures["10 days back"]["booked anew"] == 0
    assert (figures["cashman verify"], figures["verify_journal.py"]) == ("sound", "sound")


def test_without_what_the_newest_entry_says_clocks_do_disturb_the_order_and_both_verifiers_see_it() -> None:
    figures = possible(clocks.clocks, bookings=2, control=True)
    with pytest.raises(Broken, match="recorded_at does not grow"):
        clocks.check(figures)
    for verifier in ("cashman verify", "verify_journal.py"):
        assert "not recorded after the entry before it" in figures[verifier]


def test_a_database_that_stands_still_loses_nothing_and_is_used_again_once_it_goes_on() -> None:
    figures = possible(paused_database.paused_database, seconds=3, clients=4)
    paused_database.check(figures)
    assert figures["acknowledged"] > 4
    assert (figures["cashman verify"], figures["verify_journal.py"]) == ("sound", "sound")


def test_a_database_that_acknowledges_before_it_stores_and_does_not_go_on_does_lose() -> None:
    figures = possible(paused_database.paused_database, seconds=0.5, clients=4, control=True)
    with pytest.raises(Broken, match="lost"):
        paused_database.check(figures)


def test_no_request_fails_while_three_instances_are_restarted_one_after_the_other() -> None:
    figures = possible(rolling.rolling, clients=4)
    rolling.check(figures)
    assert figures["requests"] > 20
    assert figures["cashman verify"] == "sound"


def test_without_another_instance_to_ask_requests_do_fail() -> None:
    assert possible(rolling.rolling, clients=2, control=True)["failed"] > 0


# How far it goes.


def test_what_is_simulated_is_what_is_plain_to_compute() -> None:
    costs = scale.Costs(request=1, commit=1, change=1, server_commit=1, server_change=1, wait=1, gather=0)
    alone = {"instances": 1, "cores": 9, "ledgers": 1, "clients": 1}

    def simulated(**more: float) -> float:
        return scale.simulate(costs, **alone | more)[0]

    assert scale.simulate(costs, **alone)[1] == 1.0
    assert simulated() == pytest.approx(1000 / 6, rel=0.02)
    assert simulated(instances=4, ledgers=4, clients=4) == pytest.approx(4000 / 6, rel=0.02)
    # One transaction at a time; what a request costs beside it is done meanwhile.
    assert simulated(instances=4, clients=4) == pytest.approx(1000 / 5, rel=0.02)
    # All but the wait takes twice as long.
    assert simulated(cores=0.5) == pytest.approx(1000 / 11, rel=0.02)


def test_instances_are_measured_beside_what_is_simulated() -> None:
    figures = possible(scale.scale, seconds=1, instances=(1,))
    for name in ("1 instances, one hot ledger", "1 instances, 4 ledgers"):
        assert figures[name]["requests/s"] > 0
        assert figures[name]["simulated"] > 0
