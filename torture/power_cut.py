"""Power cuts: what was acknowledged is still there after the file system was shut down without flushing.

The books lie on an ext4 in a file of its own, mounted through a loop device. While a process writes, the file system's
own shutdown ioctl takes it away as a power cut does: what was not synced is gone, its journal included. Then it is
mounted again, and everything that the process was told to be recorded has to be there, and the books sound.

With --control the process sets `synchronous=NORMAL` on its connections, behind the service's back: then things are
lost, or the harness could not tell. Needs root and loop devices.
"""

import argparse
import contextlib
import fcntl
import os
import random
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torture.service import REPOSITORY, START_SECONDS_MAX, Broken, Impossible, run, scratch, settings, verify

SHUTDOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN, _IOR('X', 125, __u32)."""
WITHOUT_FLUSHING_THE_JOURNAL = 2
WRITERS = 8


# The process that writes: `python -m torture.power_cut write URL [control]`.


def write(url: str, control: bool) -> None:
    """Record transactions for ever from several threads; says each one that is recorded on standard output."""
    from sqlalchemy import event

    from cashman import db
    from cashman.errors import StoreUnavailable
    from cashman.ledger import Books
    from cashman.model.income import Income

    books = Books(db.connect(url))
    books.database.open()
    if control:
        # On every connection from here on, after the service has set and checked its own.
        books.database.close()
        event.listen(books.database.engine, "connect", lambda made, _: made.execute("PRAGMA synchronous=NORMAL"))
    ledger = books.own_ledger()
    saying = threading.Lock()

    def record() -> None:
        with contextlib.suppress(StoreUnavailable):
            while True:
                receipt = ledger.record(Income("power", 1))
                with saying:
                    os.write(1, f"{receipt.state['id']} {receipt.head}\n".encode())

    threads = [threading.Thread(target=record) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os._exit(0)  # closing would only try to write again


# The harness.


class Disk:
    """An ext4 in a file, mounted at a folder, whose power can be cut."""

    def __init__(self, folder: Path) -> None:
        if os.geteuid() != 0:
            raise Impossible("mounting a file system needs root")
        for tool in ("mkfs.ext4", "mount", "umount"):
            if shutil.which(tool) is None:
                raise Impossible(f"{tool} is not installed")
        self._image = folder / "disk.img"
        self.folder = folder / "disk"
        self.folder.mkdir()
        with self._image.open("wb") as image:
            image.truncate(512 * 1024 * 1024)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(self._image)], check=True)

    def mount(self) -> None:
        """Give it power."""
        mounted = subprocess.run(
            ["mount", "-o", "loop", str(self._image), str(self.folder)], capture_output=True, text=True
        )
        if mounted.returncode:
            raise Impossible(f"no loop device can be mounted here: {mounted.stderr.strip()}")

    def cut(self) -> None:
        """Cut the power."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", WITHOUT_FLUSHING_THE_JOURNAL))
        except OSError as error:
            raise Impossible(f"the file system cannot be shut down: {error.strerror}") from None
        finally:
            os.close(descriptor)

    def unmount(self) -> None:
        """Take it away, after a cut or without."""
        for _ in range(50):
            if subprocess.run(["umount", str(self.folder)], capture_output=True).returncode == 0:
                return
            time.sleep(0.1)
        raise Broken("the disk cannot be unmounted")


@contextlib.contextmanager
def _disk(folder: Path) -> Iterator[Disk]:
    disk = Disk(folder)
    disk.mount()
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk.folder)], capture_output=True)


def _write_until_cut(disk: Disk, url: str, control: bool, seconds: float) -> list[tuple[str, str]]:
    """The id and the receipt of everything that a process was told to be recorded before the power went."""
    command = [sys.executable, "-m", "torture.power_cut", "write", url, *(["control"] if control else [])]
    process = subprocess.Popen(
        command, cwd=REPOSITORY, env=settings(url), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    said: list[bytes] = []
    reader = threading.Thread(target=lambda: said.extend(process.stdout))  # type: ignore[arg-type]
    reader.start()
    deadline = time.monotonic() + START_SECONDS_MAX
    while not said and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(seconds)
    before = len(said)  # what is said later was said by a machine without power
    disk.cut()
    process.kill()
    reader.join()
    error = process.stderr.read().decode()
    process.stdout.close()
    process.stderr.close()
    process.wait()
    if not before:
        raise Broken(f"nothing was recorded: {error[-1000:]}")
    return [(id_, receipt) for id_, receipt in (line.decode().split() for line in said[:before])]


def _stored_ids(url: str) -> set[str]:
    """The transactions that the books hold; opened by the service's own code, as after any start."""
    from sqlalchemy import text

    from cashman import db
    from cashman.ledger import Books

    books = Books(db.connect(url))
    try:
        return set(
            books.database.read(lambda connection: connection.scalars(text("SELECT id FROM transactions")).all())
        )
    finally:
        books.database.close()


def power_cut(*, cuts: int = 5, seed: int = 1, control: bool = False, cuts_a_database: int = 10) -> dict[str, Any]:
    """Cut the power so many times; new books now and then, for a cut that comes early."""
    chance = random.Random(seed)
    begun = time.monotonic()
    figures: dict[str, Any] = {"cuts": cuts, "synchronous": "NORMAL" if control else "FULL", "acknowledged": 0}
    figures |= {"lost": 0, "cuts with loss": 0, "not sound": 0}
    acknowledged: set[str] = set()
    with scratch() as folder, _disk(folder) as disk:
        for number in range(cuts):
            if number % cuts_a_database == 0:
                url = f"sqlite:///{disk.folder / f'books-{number}' / 'cashman.db'}"
                acknowledged = set()
            seconds = chance.uniform(0, 0.05) if chance.random() < 0.2 else chance.uniform(0.05, 1.0)
            said = _write_until_cut(disk, url, control, seconds)
            disk.unmount()
            disk.mount()
            acknowledged |= {id_ for id_, _ in said}
            figures["acknowledged"] += len(said)
            try:
                lost = acknowledged - _stored_ids(url)
            except Exception as error:
                if not control:
                    raise Broken(f"cut {number}: the books cannot be opened: {error!r}") from None
                lost = acknowledged
            figures["lost"] += len(lost)
            figures["cuts with loss"] += bool(lost)
            acknowledged -= lost
            try:
                verify(url, said[-1][1])
            except Broken as broken:
                if not control:
                    raise Broken(f"cut {number}: {len(lost)} lost of {len(said)}; {broken}") from None
                figures["not sound"] += 1
    figures["seconds"] = round(time.monotonic() - begun)
    return figures


def main() -> None:
    """Run it as the command line says."""
    if sys.argv[1:2] == ["write"]:
        return write(sys.argv[2], sys.argv[3:] == ["control"])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--control", action="store_true", help="synchronous=NORMAL, which loses")
    given = parser.parse_args()
    figures = power_cut(cuts=given.cuts, seed=given.seed, control=given.control)
    for name, value in figures.items():
        print(f"{name}: {value}")
    if given.control and not figures["lost"]:
        raise Broken("the control lost nothing, so this harness cannot tell")
    if not given.control and figures["lost"]:
        raise Broken(f"{figures['lost']} acknowledged transactions were lost")
    return None


if __name__ == "__main__":
    sys.exit(run(main))
