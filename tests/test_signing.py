"""Signing keys: made once, kept from others, and followed by the next without ending what the last one signed."""

import base64
import datetime as dt
import errno
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, update

from cashman.access import signing
from cashman.access.signing import (
    FileKeys,
    GivenKeys,
    Keyring,
    SigningKey,
    SigningKeys,
    TableKeys,
    kid_of,
    signing_keys,
)
from cashman.access.tokens import Tokens
from cashman.db import Database, SqliteDatabase, connect, table
from cashman.errors import ConfigurationError, InvalidToken, StoreUnavailable
from cashman.ledger import Books
from cashman.limits import REFRESH_SECONDS
from cashman.model.access import AccessHead, SigningKeyRecord

ROOT = Path(__file__).resolve().parents[1]
GIVEN = ["the newest key, of more than 32 bytes", "an older key, of more than 32 bytes"]
USER = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
SESSION = "01BX5ZZKBKACTAV9WEVGEMMVRZ"
DAY = 86_400

on_sqlite = pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("engine_name", ["postgresql"], indirect=True)


@pytest.fixture
def database(books: Books) -> Database:
    books.database.open()
    return books.database


@pytest.fixture
def keys(database: Database) -> SigningKeys:
    return signing_keys(database, None)


@pytest.fixture
def path(database: Database) -> Path:
    """The file of the keys, on SQLite."""
    assert database.keys_path is not None
    return database.keys_path


def made(path: Path, keys: SigningKeys) -> Keyring:
    """The keys, once their file is there."""
    keyring = keys.load()
    assert path.is_file()
    return keyring


# Where they are.


def test_the_settings_come_before_what_the_engine_has_a_place_for(database: Database) -> None:
    assert isinstance(signing_keys(database, GIVEN), GivenKeys)
    own = signing_keys(database, None)
    if isinstance(database, SqliteDatabase):
        assert isinstance(own, FileKeys)
        assert own.path == database.path.with_name(database.path.name + ".keys")
    else:
        assert isinstance(own, TableKeys)
        assert database.keys_path is None


def test_given_keys_leave_nothing_behind(database: Database) -> None:
    signing_keys(database, GIVEN).load()
    assert rows_in(database) == 0
    assert database.keys_path is None or not database.keys_path.exists()


@on_sqlite
def test_keys_in_a_file_leave_nothing_in_the_database(database: Database, keys: SigningKeys) -> None:
    """A copy of the database alone lets nobody sign in."""
    keys.rotate()
    assert rows_in(database) == 0


def rows_in(database: Database) -> int:
    def count(connection: Connection) -> int:
        return connection.execute(select(func.count()).select_from(SigningKeyRecord)).scalar_one()

    return database.read(count)


# The first.


def test_the_first_key_is_made_at_first_use_and_stays(database: Database, keys: SigningKeys) -> None:
    before = dt.datetime.now(dt.UTC)
    first = keys.load()
    assert first.keys == (first.signing,)
    assert before <= first.signing.created_at <= dt.datetime.now(dt.UTC)
    assert len(first.signing.secret) == 32
    assert first.signing.kid == kid_of(first.signing.secret)
    assert keys.load().keys == signing_keys(database, None).load().keys == first.keys


def test_keys_outlive_the_process(database_url: str) -> None:
    found = set()
    for _ in range(2):
        database = connect(database_url)
        found.add(signing_keys(database, None).load().keys)
        database.close()
    assert len(found) == 1


def test_two_databases_do_not_have_the_same_keys(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        database = connect(f"sqlite:///{tmp_path / name}.db")
        found.append(signing_keys(database, None).load().signing)
        database.close()
    assert found[0].secret != found[1].secret
    assert found[0].kid != found[1].kid


def test_the_first_key_is_made_in_a_database_that_is_only_made_then(empty_url: str) -> None:
    database = connect(empty_url)
    assert signing_keys(database, None).load().keys
    database.close()


@on_sqlite
def test_nothing_is_made_beside_a_database_that_cannot_be_opened(engine_name: str, tmp_path: Path) -> None:
    (tmp_path / "folder.db").mkdir()
    with pytest.raises((ConfigurationError, StoreUnavailable)):
        signing_keys(connect(f"sqlite:///{tmp_path / 'folder.db'}"), None).load()
    assert not (tmp_path / "folder.db.keys").exists()


# Tells when it has seen the keys, before it goes on to take the lock.
OTHER = """
import sys
from cashman import db
from cashman.access import signing

database = db.connect(sys.argv[1])
keys = signing.signing_keys(database, None)

def telling(look):
    def tell(*arguments):
        found = look(*arguments)
        print("found" if found else "nothing", flush=True)
        return found
    return tell

if isinstance(keys, signing.FileKeys):
    keys._read = telling(keys._read)
else:
    signing._select = telling(signing._select)
database.open()
print("ready", flush=True)
sys.stdin.readline()
print(getattr(keys, sys.argv[2])().signing.kid, flush=True)
"""


@contextmanager
def others(script: str, count: int, *arguments: str) -> Iterator[list[subprocess.Popen[str]]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", script, *arguments],
                    env={**os.environ, "PYTHONPATH": str(ROOT)},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(count)
        ]


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def let_go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def under_the_lock(database: Database, work: Callable[[], None]) -> None:
    """Run something while nobody else gets to make keys."""
    if isinstance(database, SqliteDatabase):
        with database.exclusive():
            work()
        return

    def hold(connection: Connection) -> None:
        signing._move_head(connection)
        work()

    database.write(hold)


def test_processes_that_ask_first_at_once_get_the_same_key(
    database: Database, keys: SigningKeys, database_url: str
) -> None:
    """Each has seen that there is none before any of them may make one."""
    with others(OTHER, 3, database_url, "load") as started:
        assert [line(process) for process in started] == ["ready"] * 3

        def look() -> None:
            for process in started:
                let_go(process)
            assert [line(process) for process in started] == ["nothing"] * 3

        under_the_lock(database, look)
        assert sorted(line(process) for process in started) == ["found", "found", "nothing"]
        kids = {line(process) for process in started}
    assert kids == {keys.load().signing.kid}
    assert len(keys.load().keys) == 1


def test_processes_that_rotate_at_once_lose_none_of_the_new_keys(
    database: Database, keys: SigningKeys, database_url: str
) -> None:
    first = keys.load().signing
    with others(OTHER, 3, database_url, "rotate") as started:
        assert [line(process) for process in started] == ["ready"] * 3

        def start() -> None:
            for process in started:
                let_go(process)

        under_the_lock(database, start)
        assert [line(process) for process in started] == ["found"] * 3
        kids = {line(process) for process in started}
    keyring = keys.load()
    assert {key.kid for key in keyring.keys} == {*kids, first.kid}
    assert len(keyring.keys) == 4
    assert keyring.keys[-1] == first
    assert keyring.signing.kid in kids


# The next.


def test_rotation_lets_a_new_key_sign_and_goes_on_believing_the_old(keys: SigningKeys) -> None:
    old = keys.load().signing
    issued = Tokens(keys.load).issue_access(USER, SESSION)
    new = keys.rotate()
    assert new.signing.secret != old.secret
    assert new.keys == keys.load().keys == (new.signing, old)
    assert (new.get(old.kid), new.get(new.signing.kid), new.get("another")) == (old, new.signing, None)
    assert Tokens(keys.load).check_access(issued).user_id == USER
    assert Tokens(keys.load).check_access(Tokens(keys.load).issue_access(USER, SESSION)).user_id == USER


def test_a_rotation_before_the_first_use_makes_one_key(keys: SigningKeys) -> None:
    assert len(keys.rotate().keys) == 1
    assert len(keys.rotate().keys) == len(keys.load().keys) == 2


def test_a_key_is_dropped_when_nothing_that_it_signed_can_be_in_force(
    keys: SigningKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_day(day: float) -> None:
        monkeypatch.setattr(time, "time", lambda: 2_000_000_000 + day * DAY)

    assert REFRESH_SECONDS == 30 * DAY
    on_day(0)
    first = keys.load().signing
    on_day(100)  # however long it signed: what counts is since when it does not
    until = dt.datetime.fromtimestamp(2_000_000_000 + 130 * DAY, dt.UTC)
    last = Tokens(keys.load).issue_refresh(SESSION, 1, until)
    second = keys.rotate().signing
    on_day(129)
    third = keys.rotate()
    assert third.keys == (third.signing, second, first)
    assert Tokens(keys.load).check_refresh(last).session_id == SESSION
    on_day(130 - 1 / DAY)
    fourth = keys.rotate()
    assert fourth.keys[1:] == third.keys
    on_day(130)
    fifth = keys.rotate()
    assert fifth.keys == keys.load().keys == (fifth.signing, *fourth.keys[:-1])
    with pytest.raises(InvalidToken):
        Tokens(keys.load).check_refresh(last)


def test_loading_drops_nothing(keys: SigningKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    keys.load()
    rotated = keys.rotate()
    later = time.time() + 10 * REFRESH_SECONDS
    monkeypatch.setattr(time, "time", lambda: later)
    assert keys.load().keys == rotated.keys


def test_the_newest_key_signs_also_where_the_clock_was_put_back(
    keys: SigningKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys.load()
    monkeypatch.setattr(time, "time", lambda: 1_000_000_000.0)
    after = keys.rotate()
    assert after.signing.created_at > before.signing.created_at
    assert keys.load().keys == after.keys == (after.signing, before.signing)


def test_a_rotation_moves_the_head_that_every_worker_looks_at(database: Database, keys: SigningKeys) -> None:
    def version(connection: Connection) -> int:
        return connection.execute(select(AccessHead.version)).scalar_one()

    keys.load()
    before = database.read(version)
    keys.load()
    assert database.read(version) == before
    keys.rotate()
    assert database.read(version) > before


# The file.


@on_sqlite
def test_the_file_is_closed_to_others_before_anything_is_in_it(
    keys: FileKeys, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the process's umask says."""
    seen = []
    write = signing._content_of

    def content_of(written: Any) -> bytes:
        status = path.with_name(path.name + ".new").stat()
        seen.append((stat.S_IMODE(status.st_mode), status.st_size))
        return write(written)

    monkeypatch.setattr(signing, "_content_of", content_of)
    before = os.umask(0)
    try:
        keys.load()
        keys.rotate()
    finally:
        os.umask(before)
    assert seen == [(0o600, 0)] * 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@on_sqlite
def test_what_is_signed_with_is_on_disk_before(path: Path, keys: FileKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    sync, replace = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        steps.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        sync(descriptor)

    def replaced(self: Path, target: Path) -> Path:
        steps.append("replace")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replaced)
    keys.load()
    assert steps == [f"sync {path.name}.new", "replace", f"sync {path.parent.name}"]


@on_sqlite
@pytest.mark.parametrize("mode", [0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o644, 0o660, 0o666, 0o777, 0o440])
def test_a_file_that_others_may_use_is_refused(path: Path, keys: FileKeys, mode: int) -> None:
    before = made(path, keys)
    path.chmod(mode)
    for use in (keys.load, keys.rotate):
        with pytest.raises(ConfigurationError, match="chmod 600") as caught:
            use()
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)
    path.chmod(0o600)
    assert keys.load().keys == before.keys


@on_sqlite
@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_file_that_only_its_owner_may_use_is_taken(path: Path, keys: FileKeys, mode: int) -> None:
    before = made(path, keys)
    path.chmod(mode)
    assert keys.load().keys == before.keys


@on_sqlite
def test_a_file_cut_off_anywhere_is_refused(path: Path, keys: FileKeys) -> None:
    made(path, keys)
    kept = keys.rotate()
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert_damaged(keys, kept)
    path.write_bytes(content)
    assert keys.load().keys == kept.keys


@on_sqlite
def test_a_file_with_anything_changed_is_refused(path: Path, keys: FileKeys) -> None:
    kept = made(path, keys)
    content = path.read_bytes()
    for place in range(len(content)):
        for bit in (0x01, 0x20, 0x80):
            path.write_bytes(content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :])
            assert_damaged(keys, kept)


def assert_damaged(keys: FileKeys, kept: Keyring) -> None:
    before = keys.path.read_bytes()
    for use in (keys.load, keys.rotate):
        with pytest.raises(ConfigurationError, match="damaged") as caught:
            use()
        assert_tells_nothing(kept, str(caught.value))
        assert "\n" not in str(caught.value)
    assert keys.path.read_bytes() == before  # whoever mends it finds what is left


def summed(text: bytes) -> bytes:
    """With the sum that belongs to it."""
    return text + f"sha256 {hashlib.sha256(text).hexdigest()}\n".encode()


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "one line more": lambda content: content + b"\n",
    "all of it twice": lambda content: content + content,
    "an empty line first": lambda content: b"\n" + content,
    "other ends of lines": lambda content: content.replace(b"\n", b"\r\n"),
    "zeros": lambda content: bytes(len(content)),
    "backwards": lambda content: content[::-1],
    "no name of the sum": lambda content: content.replace(b"sha256 ", b""),
    "no keys, and summed up so": lambda _: summed(b"# no keys at all\n"),
    "an empty first line, and summed up so": lambda _: summed(b"\n"),
    "blanks, and summed up so": lambda content: summed(content[: content.index(b"sha256")].replace(b" ", b"  ")),
    "a line of one word": lambda _: summed(b"# one\nkid AAAA 2026-01-01T00:00:00.000000Z\nkid\n"),
    "a secret that is not base64": lambda _: summed(b"# one\nkid A 2026-01-01T00:00:00.000000Z\n"),
    "a day without a name": lambda _: summed(b"# one\nkid AAAA yesterday\n"),
}


@on_sqlite
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_no_file_of_keys_is_refused(path: Path, keys: FileKeys, damage: str) -> None:
    kept = made(path, keys)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert_damaged(keys, kept)


@on_sqlite
def test_what_is_not_a_file_is_refused(path: Path, keys: FileKeys) -> None:
    for make in (path.mkdir, lambda: os.mkfifo(path, 0o600)):
        make()
        for use in (keys.load, keys.rotate):
            with pytest.raises(ConfigurationError, match="not a file"):
                use()
        path.rmdir() if path.is_dir() else path.unlink()
    assert keys.load().keys


@on_sqlite
def test_a_deleted_file_is_a_new_beginning(path: Path, keys: FileKeys) -> None:
    before = made(path, keys)
    path.unlink()
    assert keys.load().signing != before.signing


@on_sqlite
def test_a_copy_of_the_file_brings_the_keys_back(path: Path, keys: FileKeys, tmp_path: Path) -> None:
    before = made(path, keys)
    shutil.copy2(path, tmp_path / "copy")
    path.unlink()
    keys.load()
    shutil.copy2(tmp_path / "copy", path)
    assert keys.load().keys == before.keys


@on_sqlite
@pytest.mark.parametrize(
    ("number", "expected", "told"),
    [
        (errno.EACCES, ConfigurationError, "Permission denied"),
        (errno.EPERM, ConfigurationError, "not permitted"),
        (errno.ENOSPC, StoreUnavailable, "No space left"),
        (errno.EIO, StoreUnavailable, "Input/output error"),
        (errno.EROFS, StoreUnavailable, "Read-only"),
    ],
)
def test_a_file_that_cannot_be_written_is_told_and_made_later(
    path: Path, keys: FileKeys, number: int, expected: type[Exception], told: str
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(expected, match=told):
            keys.load()
        assert not path.exists()
    first = keys.load()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(expected, match=told):
            keys.rotate()
    assert keys.load().keys == first.keys


@on_sqlite
def test_a_file_that_cannot_be_read_is_told(path: Path, keys: FileKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    made(path, keys)

    def refuse(*_: Any) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ConfigurationError, match="Permission denied"):
        keys.load()


# Killed at the worst moment: `where` is the last thing that it does.
KILLED = """
import os, pathlib, signal, sys
from cashman import db
from cashman.access import signing

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

database = db.connect(sys.argv[1])
keys = signing.signing_keys(database, None)
match sys.argv[3]:
    case "while writing":
        content_of = signing._content_of
        def half(written):
            new = keys.path.with_name(keys.path.name + ".new")
            content = content_of(written)
            new.write_bytes(content[: len(content) // 2])
            die()
        signing._content_of = half
    case "between writing and renaming":
        pathlib.Path.replace = die
    case "between insert and commit":
        signing.delete = die
getattr(keys, sys.argv[2])()
"""
MOMENTS = {
    "sqlite": ("while writing", "between writing and renaming"),
    "postgresql": ("between insert and commit",),
}


@pytest.mark.parametrize(
    ("engine_name", "moment"),
    [(engine, moment) for engine, moments in MOMENTS.items() for moment in moments],
    indirect=["engine_name"],
)
def test_whoever_is_killed_leaves_keys_that_can_be_used(
    database: Database, keys: SigningKeys, database_url: str, moment: str
) -> None:
    def kill(what: str) -> None:
        with others(KILLED, 1, database_url, what, moment) as (process,):
            assert process.wait(60) == -9

    kill("load")
    assert database.keys_path is None or not database.keys_path.exists()
    assert rows_in(database) == 0
    first = keys.load()
    assert len(first.keys) == 1
    kill("rotate")
    assert keys.load().keys == first.keys
    after = keys.rotate()
    assert after.keys == keys.load().keys == (after.signing, first.signing)
    if database.keys_path is not None:
        assert not database.keys_path.with_name(database.keys_path.name + ".new").exists()
        assert stat.S_IMODE(database.keys_path.stat().st_mode) == 0o600


@on_sqlite
def test_what_somebody_put_in_the_place_of_the_new_file_is_not_written_through(
    path: Path, keys: FileKeys, tmp_path: Path
) -> None:
    other = tmp_path / "another file"
    other.write_text("as it was")
    path.with_name(path.name + ".new").symlink_to(other)
    keys.load()
    assert other.read_text() == "as it was"
    assert not path.is_symlink()


# The table.


@on_postgresql
def test_a_damaged_table_is_refused(database: Database, keys: TableKeys) -> None:
    kept = keys.load()

    def damage(connection: Connection) -> None:
        connection.execute(update(table(SigningKeyRecord)), {"secret": bytes(32)})

    database.write(damage)
    for use in (keys.load, keys.rotate):
        with pytest.raises(ConfigurationError, match="signing_keys is damaged") as caught:
            use()
        assert_tells_nothing(kept, str(caught.value))


# Given ones.


def test_given_keys_are_believed_in_their_order_and_the_first_signs() -> None:
    keyring = GivenKeys(GIVEN).load()
    assert [key.secret.decode() for key in keyring.keys] == GIVEN
    assert keyring.signing == keyring.keys[0]
    turned = GivenKeys(GIVEN[::-1]).load()
    assert turned.keys == keyring.keys[::-1]
    assert turned.signing == keyring.keys[1]


def test_the_name_of_a_given_key_is_always_the_same() -> None:
    """Another one would end every session with an update; it follows from the secret, and not from its place."""
    assert [key.kid for key in GivenKeys(GIVEN).load().keys] == ["45c04df093e4f669", "119b661a3646b0ec"]


def test_names_are_sixteen_digits_that_differ() -> None:
    kids = {kid_of(bytes([number]) * 32) for number in range(256)}
    assert len(kids) == 256
    assert all(re.fullmatch("[0-9a-f]{16}", kid) for kid in kids)


def test_a_key_that_is_given_twice_is_one() -> None:
    assert GivenKeys([GIVEN[0], GIVEN[1], GIVEN[0]]).load().keys == GivenKeys(GIVEN).load().keys


def test_given_keys_are_not_rotated_here() -> None:
    with pytest.raises(ConfigurationError, match="put a new one first in CASHMAN_SECRET_KEY") as caught:
        GivenKeys(GIVEN).rotate()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "secret", ["", "short", "31 bytes, which is one too few.", "ssh-rsa/AAAAB3NzaC1yc2EAAAADAQABAAABgQ"]
)
def test_a_given_key_that_cannot_sign_is_refused_at_once(secret: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^CASHMAN_SECRET_KEY: ") as caught:
        GivenKeys([GIVEN[0], secret])
    assert not secret or secret not in str(caught.value)


def test_a_given_key_of_letters_that_take_more_bytes_is_taken() -> None:
    key = GivenKeys(["ключ из шестнадцати букв"]).load()
    assert Tokens(lambda: key).check_access(Tokens(lambda: key).issue_access(USER, SESSION)).user_id == USER


# Nobody sees them.


def assert_tells_nothing(keyring: Keyring, text: str) -> None:
    for key in keyring.keys:
        encodings = (
            repr(key.secret)[2:-1],
            key.secret.hex(),
            base64.b64encode(key.secret).decode(),
            base64.urlsafe_b64encode(key.secret).decode().rstrip("="),
        )
        assert not any(encoding in text for encoding in encodings)


def test_no_secret_shows_where_something_is_printed(keys: SigningKeys) -> None:
    keys.load()
    for source in (keys, GivenKeys(GIVEN)):
        keyring = source.load()
        for shown in (keyring, keyring.signing, source, keyring.keys, {"key": keyring.signing}, vars(keyring)):
            for text in (repr(shown), str(shown), f"{shown}", f"{shown!a}"):
                assert_tells_nothing(keyring, text)
    assert keyring.signing.kid in repr(keyring)


def test_a_key_is_shown_with_its_name_and_age() -> None:
    key = SigningKey("a name", b"a secret", dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    assert repr(key) == (
        "SigningKey(kid='a name', created_at=datetime.datetime(2026, 1, 1, 0, 0, tzinfo=datetime.timezone.utc))"
    )


@on_sqlite
def test_the_log_says_nothing_of_the_keys(keys: FileKeys, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        keyring = keys.load()
        keys.rotate()
    assert_tells_nothing(keyring, caplog.text)
