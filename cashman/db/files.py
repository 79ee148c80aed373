"""SQLite files that nobody else uses: one that is being made beside its place, and one that is read as it lies."""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from cashman.errors import ConfigurationError

SIDECARS: Final = ("-wal", "-shm", "-journal")
"""What SQLite puts beside a file, and believes when it finds it there."""

Guard = Callable[[], contextlib.AbstractContextManager[None]]

_READING: Final = ("query_only=ON", "trusted_schema=OFF", "cell_size_check=ON", "cache_size=-8000")
# Nothing is lost with a file that is being made: it is synced before it gets its name.
_MAKING: Final = (
    "journal_mode=MEMORY",
    "synchronous=OFF",
    "cache_size=-64000",
    "temp_store=MEMORY",
    "secure_delete=ON",
    "trusted_schema=OFF",
)


def engine_on(path: Path, *, making: bool) -> Engine:
    """An engine on a file that is being made; or on one that is only read, without a lock or a trace beside it."""
    uri = f"file:{quote(str(path))}?{'mode=rw' if making else 'mode=ro&immutable=1'}"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        try:
            for pragma in _MAKING if making else _READING:
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()  # nobody else knows of it
            raise
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool, hide_parameters=True)
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def sidecars(path: Path) -> list[Path]:
    """What lies beside a file and holds a part of it, or would be taken for that."""
    return [found for suffix in SIDECARS if (found := path.with_name(path.name + suffix)).exists()]


def part_of(path: Path) -> Path:
    """Where a file is made before it gets its name."""
    return path.with_name(path.name + ".part")


@contextlib.contextmanager
def replacing(path: Path, guard: Guard) -> Iterator[Path]:
    """An empty file beside a path, which its owner alone may read, and which takes its name at the end, within `guard`.

    Whatever goes wrong, nothing is left of it; of somebody who was killed the next one takes it away.
    """
    part = part_of(path)
    with told(path):
        descriptor = _take(part)
        try:
            yield part
            os.fsync(descriptor)
            with guard():
                part.replace(path)
                _sync_folder(path.parent)
        except BaseException:
            _remove(part)
            raise
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Say in one line what the operating system or SQLite refuses."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be made: {error.strerror}") from error
    except (sqlite3.Error, DBAPIError) as error:
        reason = getattr(error, "orig", error)
        if not isinstance(reason, sqlite3.Error) or isinstance(reason, sqlite3.IntegrityError):
            raise  # it is not the file's fault
        raise ConfigurationError(f"{path} cannot be made: {reason}") from error


def _take(part: Path) -> int:
    """Make the file and lock it, so that one that is found unlocked is known to be left over."""
    making = os.O_RDWR | os.O_CREAT | os.O_EXCL
    for flags in (making, os.O_RDONLY | os.O_NONBLOCK, making):
        try:
            descriptor = os.open(part, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            continue
        if not _lock(descriptor) or not os.path.samestat(part.stat(), os.fstat(descriptor)):
            break
        if flags == making:
            return descriptor
        _remove(part)
        os.close(descriptor)
    raise ConfigurationError(f"{part} is being written by another process")


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    return True


def _remove(part: Path) -> None:
    for left in (*sidecars(part), part):
        left.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)  # the new name, too, is on disk
    finally:
        os.close(descriptor)
