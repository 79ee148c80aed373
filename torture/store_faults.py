"""A store that fails: full, without inodes, read-only, or with errors of its disk, while Cashman serves.

The books lie on a small file system of their own. While the fault lasts a write is answered 503 with Retry-After, or
done; what was acknowledged can be read; and once it is over, writes are done again without a restart of Cashman. At the
end everything that was acknowledged is there once, what was refused is there once after its repetition, and the books
are sound. Errors of the disk are what strace makes of the server's own system calls.

Needs root, and strace for the errors.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from torture.cluster import Node
from torture.power_cut import Disk
from torture.service import Broken, Caller, Impossible, Service, run, scratch, verify

BACK_SECONDS_MAX = 15.0
READS_EVERY = 4


class Volume:
    """A small tmpfs at a folder, to be filled."""

    def __init__(self, folder: Path, megabytes: int, inodes: int = 200) -> None:
        if os.geteuid() != 0:
            raise Impossible("mounting a file system needs root")
        self.folder = folder
        folder.mkdir()
        self._options = f"size={megabytes}m,nr_inodes={inodes},mode=755"

    def __enter__(self) -> "Volume":
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", self._options, "tmpfs", self.folder], capture_output=True, text=True
        )
        if mounted.returncode:
            raise Impossible(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", self.folder], capture_output=True)

    def fill(self) -> None:
        """Leave no space."""
        with (self.folder / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while ballast.write(bytes(4096)):
                pass

    def empty(self) -> None:
        """Give back what was filled."""
        (self.folder / "ballast").unlink(missing_ok=True)
        shutil.rmtree(self.folder / "names", ignore_errors=True)

    def take_inodes(self) -> None:
        """Leave no inode."""
        (self.folder / "names").mkdir()
        with contextlib.suppress(OSError):
            for number in range(10_000):
                (self.folder / "names" / str(number)).touch()


class Booker:
    """A client that books one after the other, and knows what it was told of each."""

    def __init__(self, port: int, padding: str = "") -> None:
        self.caller = Caller(port)
        self.acknowledged: dict[int, str] = {}
        """By its number, the id."""
        self.refused: set[int] = set()
        self.asked = self.unread = self.reads = 0
        self._padding = padding

    def __enter__(self) -> "Booker":
        return self

    def __exit__(self, *_: object) -> None:
        self.caller.close()

    def book(self, number: int | None = None) -> bool:
        """Book a new one, or one that was refused; whether it was done."""
        if number is None:
            number = self.asked = self.asked + 1
        body = {"description": f"number {number}", "amount": number, "notes": self._padding + str(number)}
        answer = self.caller.ask("POST", "/incomes", body, {"Idempotency-Key": f"number-{number}"})
        if answer is not None and answer.status == 204:
            self.acknowledged[number] = answer.headers["Location"].rpartition("/")[2]
            self.refused.discard(number)
            return True
        if answer is None or answer.status != 503 or not 1 <= int(answer.headers.get("Retry-After", "0")) <= 60:
            raise Broken(f"a write was answered {answer}")
        self.refused.add(number)
        return False

    def read(self, *, must: bool = True) -> None:
        """Read back one that was acknowledged, and a report; Broken where they cannot be, unless they need not."""
        self.reads += 1
        last = max(self.acknowledged)
        for path in (f"/incomes/{self.acknowledged[last]}", "/reports/summary", f"/incomes?limit=5&min_amount={last}"):
            answer = self.caller.ask("GET", path)
            if answer is None or answer.status != 200:
                self.unread += 1
                if must or answer is None or answer.status != 503:
                    raise Broken(f"{path} was answered {answer}")

    def suffer(self, writes: int, *, reads: bool = True) -> None:
        """Go on while the fault lasts; ends when so many were refused."""
        for number in range(20 * writes):
            self.book()
            if number % READS_EVERY == 0:
                self.read(must=reads)
            if len(self.refused) >= writes:
                return
        raise Broken(f"of {20 * writes} writes only {len(self.refused)} were refused: the fault was none")

    def recover(self) -> float:
        """After how many seconds a write was done again; then repeats all that was refused."""
        begun = time.monotonic()
        while not self.book(min(self.refused) if self.refused else None):
            if time.monotonic() - begun > BACK_SECONDS_MAX:
                raise Broken(f"no write is done {BACK_SECONDS_MAX:.0f} s after the fault")
            time.sleep(0.05)
        back = time.monotonic() - begun
        for number in sorted(self.refused):
            deadline = time.monotonic() + BACK_SECONDS_MAX
            while not self.book(number):  # the other worker may not have noticed yet
                if time.monotonic() > deadline:
                    raise Broken("writes are refused again after the fault")
                time.sleep(0.05)
        self.read()
        return back

    def differences(self) -> dict[str, int]:
        """What the books lack or hold twice."""
        found: list[int] = []
        path = "/incomes?limit=1000"
        while path:
            answer = self.caller.ask("GET", path)
            if answer is None or answer.status != 200:
                raise Broken(f"the list cannot be read: {answer}")
            found += [int(row["description"].split()[1]) for row in answer.json()]
            path = answer.headers.get("Link", "").partition(">")[0].removeprefix("<")
        return {"lost": len(set(self.acknowledged) - set(found)), "doubled": len(found) - len(set(found))}


@contextlib.contextmanager
def injected(pids: Sequence[int], calls: str, error: str) -> Iterator[None]:
    """Let system calls of some processes fail."""
    if shutil.which("strace") is None:
        raise Impossible("strace is not installed")
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={calls}:error={error}"]
    for pid in pids:
        command += ["-p", str(pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 20
        while not all(_is_traced(pid) for pid in pids):
            if tracer.poll() is not None or time.monotonic() > deadline:
                raise Impossible(f"strace cannot attach to {list(pids)}")
            time.sleep(0.02)
        yield
    finally:
        tracer.terminate()  # detaches
        tracer.communicate()


def _is_traced(pid: int) -> bool:
    """Whether every thread of a process has a tracer."""
    states = [status.read_text() for status in Path(f"/proc/{pid}/task").glob("*/status")]
    return bool(states) and not any("TracerPid:\t0\n" in state for state in states)


def _ordeal(
    booker: Booker, writes: int, spoil: contextlib.AbstractContextManager[Any], *, reads: bool = True
) -> dict[str, Any]:
    before = len(booker.acknowledged)
    with spoil:
        booker.suffer(writes, reads=reads)
        refused, done = len(booker.refused), len(booker.acknowledged) - before
    return {"refused": refused, "done meanwhile": done, "back after, s": round(booker.recover(), 2)}


@contextlib.contextmanager
def _during(begin: Callable[[], None], end: Callable[[], None]) -> Iterator[None]:
    begin()
    try:
        yield
    finally:
        end()


def on_sqlite(*, writes: int = 20, workers: int = 2) -> dict[str, Any]:
    """Every fault after the other, under one server; returns the figures."""
    figures: dict[str, Any] = {}
    with scratch() as folder, Volume(folder / "volume", 24) as volume:
        url = f"sqlite:///{volume.folder / 'cashman.db'}"
        with Service(url, folder, workers=workers) as service, Booker(service.port) as booker:
            for _ in range(3 * workers):
                booker.book()
            figures["disk full"] = _ordeal(booker, writes, _during(volume.fill, volume.empty))
            for what, calls, error in (
                ("EIO at the sync", "fsync,fdatasync", "EIO"),
                ("EIO at the write", "pwrite64", "EIO"),
                ("ENOSPC at the write", "pwrite64", "ENOSPC"),
                ("read-only at the write", "pwrite64", "EROFS"),
            ):
                figures[what] = _ordeal(booker, writes, injected(service.workers(), calls, error))
            # Without a WAL and its index, which go with the last connection, there is nothing to read by.
            service.stop()
            volume.take_inodes()
            service.start()
            booker.caller.close()
            _wait_until_it_answers(service)
            spoiled = _during(lambda: None, volume.empty)
            figures["no inode at the start"] = _ordeal(booker, writes, spoiled, reads=False)
            figures |= {"acknowledged": len(booker.acknowledged), "reads": booker.reads, **booker.differences()}
        figures["cashman verify"] = verify(url).split(":")[0]
    return figures


def on_a_disk_that_is_exchanged(*, writes: int = 10) -> dict[str, Any]:
    """An ext4 that goes read-only by itself, as after an error; a copy of it is mounted in its place."""
    with scratch() as folder:
        disk = Disk(folder)
        disk.mount()
        copy = folder / "copy.img"

        def abort() -> None:
            subprocess.run(["mount", "-o", "remount,abort", disk.folder], check=True, capture_output=True)

        def exchange() -> None:
            subprocess.run(["umount", "--lazy", disk.folder], check=True)
            subprocess.run(["cp", "--sparse=always", folder / "disk.img", copy], check=True)
            subprocess.run(["mount", "-o", "loop", copy, disk.folder], check=True)

        try:
            url = f"sqlite:///{disk.folder / 'cashman.db'}"
            with Service(url, folder) as service, Booker(service.port) as booker:
                for _ in range(8):
                    booker.book()
                figures: dict[str, Any] = {"read-only by itself": _ordeal(booker, writes, _during(abort, exchange))}
                figures |= {"acknowledged": len(booker.acknowledged), "reads": booker.reads, **booker.differences()}
            figures["cashman verify"] = verify(url).split(":")[0]
        finally:
            subprocess.run(["umount", "--lazy", disk.folder], capture_output=True)
    return figures


def on_postgresql(*, writes: int = 10) -> dict[str, Any]:
    """A server whose disk is full: it refuses, or stops; and is started again, as whoever watches over it does."""
    with scratch() as folder, Volume(folder / "volume", 128, 20_000) as volume:
        node = Node(folder, "full", data=volume.folder / "data")
        node.create("--wal-segsize=1")
        node.start(wal_keep_size="0", min_wal_size="2MB", max_wal_size="4MB", restart_after_crash="on")
        try:
            with Service(node.url, folder) as service, Booker(service.port, "x" * 4_000) as booker:
                for _ in range(8):
                    booker.book()

                def make_room() -> None:
                    volume.empty()
                    with contextlib.suppress(Broken, subprocess.TimeoutExpired):
                        node.stop_immediately()
                    node.start()

                spoiled = _during(volume.fill, make_room)
                figures = {"disk full": _ordeal(booker, writes, spoiled, reads=False)}
                figures |= {"reads": booker.reads, "reads refused": booker.unread}
                figures |= {"acknowledged": len(booker.acknowledged), **booker.differences()}
            figures["cashman verify"] = verify(node.url).split(":")[0]
        finally:
            node.stop_immediately()
    return figures


def _wait_until_it_answers(service: Service) -> None:
    """It answers, if only that there is no store."""
    deadline = time.monotonic() + 60
    with Caller(service.port) as caller:
        while (answer := caller.ask("GET", "/incomes?limit=1")) is None or answer.status not in (200, 503):
            if time.monotonic() > deadline:
                raise Broken(f"the server does not start: {answer} {service.log()[-1500:]}")
            time.sleep(0.1)


def check(figures: dict[str, Any]) -> None:
    """Broken where something was lost or doubled."""
    if figures["lost"] or figures["doubled"]:
        raise Broken(f"lost: {figures['lost']}, doubled: {figures['doubled']}")


def main() -> None:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["sqlite", "disk", "postgresql"], default="sqlite")
    parser.add_argument("--writes", type=int, default=20, help="how many have to be refused under each fault")
    given = parser.parse_args()
    harnesses = {"sqlite": on_sqlite, "disk": on_a_disk_that_is_exchanged, "postgresql": on_postgresql}
    figures = harnesses[given.engine](writes=given.writes)
    for name, value in figures.items():
        print(f"{name}: {value}")
    check(figures)


if __name__ == "__main__":
    sys.exit(run(main))
