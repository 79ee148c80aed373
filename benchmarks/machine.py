"""What a run is measured on, and how busy the machine is with other things."""

import os
import platform
import sqlite3
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def describe() -> list[str]:
    """The machine and the versions that decide the figures, one line each."""
    return [
        f"{cores()} cores ({_processor()}), {platform.system()} {platform.release()}",
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {_wrk_version()}",
        ", ".join(f"{name} {_version(name)}" for name in ("gunicorn", "gunicorn_h1c", "gevent", "flask", "sqlalchemy")),
    ]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _wrk_version() -> str:
    shown = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout
    return " ".join(shown.split()[:2])


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def file_system(folder: Path) -> str:
    """The kind of file system that a folder is on."""
    best, found = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _device, mount, kind, *_ = line.split()
        mount = mount.replace("\\040", " ")
        if folder.resolve().is_relative_to(mount) and len(mount) >= len(best):
            best, found = mount, kind
    return found


def busy_seconds() -> float:
    """The CPU seconds that all cores together have worked since the machine started."""
    user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    )
    return (user + nice + system + irq + softirq + steal) / TICKS


def cpu_seconds(pids: list[int]) -> float:
    """The CPU seconds that some processes have used."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


class Neighbours:
    """What programs other than some processes and this one have taken of the cores since it was made."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self._began, self._before = time.monotonic(), self._others()

    def share(self) -> float:
        """The share of all cores, from 0 to 1."""
        taken = self._others() - self._before
        return max(0.0, taken / (time.monotonic() - self._began) / cores())

    def _others(self) -> float:
        return busy_seconds() - cpu_seconds(self._pids) - time.process_time()


def memory_megabytes(pid: int) -> dict[str, float]:
    """What a process holds in memory, in MB: `VmRSS` all of it, `RssAnon` without mapped files, `VmHWM` the peak."""
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {
        words[0].rstrip(":"): int(words[1]) / 1024
        for words in lines
        if words and words[0] in ("VmRSS:", "RssAnon:", "VmHWM:")
    }


def children(pid: int) -> list[int]:
    """The processes that a process has started and that are still there."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until_quiet(seconds_max: float, share: float = 0.1) -> float:
    """Wait until other programs leave the cores alone; returns the share of them that is busy in the end."""
    deadline = time.monotonic() + seconds_max
    while True:
        before, began = busy_seconds(), time.monotonic()
        time.sleep(min(1.0, max(seconds_max, 0.2)))
        busy = (busy_seconds() - before) / (time.monotonic() - began) / cores()
        if busy <= share or time.monotonic() >= deadline:
            return busy
        print(f"waiting: {busy:.0%} of the cores are busy with other things", file=sys.stderr)
