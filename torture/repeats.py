"""The same requests over and over, from two processes at once: one row a key, and equal answers.

Each process has several threads, and each thread sends every key once, in an order of its own, so that the same key is
under way from both processes, to both workers, at the same time. With --without-keys the control: many rows.
"""

import argparse
import multiprocessing
import random
import sys
import threading
import time
from collections import defaultdict
from typing import Any

from torture.service import Broken, Caller, Service, database, run, scratch, verify

SAME = ("Location", "ETag", "Cashman-Head", "Preference-Applied")
"""The headers that make an answer the same answer."""


def _send(port: int, keys: int, threads: int, seed: str, with_keys: bool, said: Any) -> None:
    """One process: every thread sends each key once, in its own order; says what the answers were."""
    heard: list[tuple[int, int, str, bool]] = []

    def send_all(name: str) -> None:
        chance = random.Random(f"{seed}/{name}")
        with Caller(port) as caller:
            for key in chance.sample(range(keys), keys):
                headers = {"Prefer": "return=representation"}
                if with_keys:
                    headers["Idempotency-Key"] = f"key-{key}"
                answer = caller.ask("POST", "/expenses", {"description": f"{key}", "amount": f"{key + 1}"}, headers)
                if answer is None:
                    heard.append((key, 0, "", False))
                else:
                    same = "\n".join(answer.headers.get(name, "") for name in SAME) + answer.body.decode()
                    heard.append((key, answer.status, same, "Idempotency-Replayed" in answer.headers))

    running = [threading.Thread(target=send_all, args=(str(number),)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    said.put(heard)


def repeats(
    engine: str = "sqlite", *, keys: int = 100, times: int = 20, seed: int = 1, with_keys: bool = True
) -> dict[str, Any]:
    """Send each of so many keys so many times; returns the figures."""
    with scratch() as folder, database(engine, folder) as (url, _), Service(url, folder) as service:
        return repeats_at(service, keys=keys, times=times, seed=seed, with_keys=with_keys)


def repeats_at(service: Service, *, keys: int, times: int, seed: int = 1, with_keys: bool = True) -> dict[str, Any]:
    """The same against a server that runs on empty books."""
    begun = time.monotonic()
    context = multiprocessing.get_context("spawn")
    said = context.Queue()
    processes = [
        context.Process(target=_send, args=(service.port, keys, times // 2, f"{seed}/{number}", with_keys, said))
        for number in range(2)
    ]
    for process in processes:
        process.start()
    heard = [answer for _ in processes for answer in said.get(timeout=3600)]
    for process in processes:
        process.join()
    said.close()
    answers: dict[int, set[str]] = defaultdict(set)
    for key, _, same, _ in heard:
        answers[key].add(same)
    rows = _rows_by_key(service.port)
    return {
        "keys": keys,
        "requests": len(heard),
        "not answered 201": sum(status != 201 for _, status, _, _ in heard),
        "keys with other than one row": sum(rows.get(str(key), 0) != 1 for key in range(keys)),
        "keys with other than equal answers": sum(len(same) != 1 for same in answers.values()),
        "answers that were first": sum(not replayed for *_, replayed in heard),
        "cashman verify": verify(service.database_url).split(":")[0],
        "seconds": round(time.monotonic() - begun),
    }


def _rows_by_key(port: int) -> dict[str, int]:
    """How many transactions there are of each description."""
    found: dict[str, int] = defaultdict(int)
    path = "/expenses?limit=1000"
    with Caller(port) as caller:
        while path:
            answer = caller.ask("GET", path)
            if answer is None or answer.status != 200:
                raise Broken(f"the list cannot be read: {answer}")
            for row in answer.json():
                found[row["description"]] += 1
            path = answer.headers.get("Link", "").partition(">")[0].removeprefix("<")
    return found


WRONG = ("not answered 201", "keys with other than one row", "keys with other than equal answers")


def main() -> None:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--keys", type=int, default=100)
    parser.add_argument("--times", type=int, default=20, help="how often each key is sent; an even number")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without-keys", action="store_true", help="the control")
    given = parser.parse_args()
    figures = repeats(
        given.engine, keys=given.keys, times=given.times, seed=given.seed, with_keys=not given.without_keys
    )
    for name, value in figures.items():
        print(f"{name}: {value}")
    broken = {name: figures[name] for name in WRONG if figures[name]}
    if broken or figures["answers that were first"] != given.keys:
        raise Broken(f"{broken}, {figures['answers that were first']} answers that were first")


if __name__ == "__main__":
    sys.exit(run(main))
