"""The keys that tokens are signed with: where they are kept, how the first is made, and how the next takes over."""

import base64
import contextlib
import datetime as dt
import hashlib
import hmac
import os
import secrets
import stat
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import InvalidKeyError
from sqlalchemy import Connection, delete, insert, select, update

from cashman.db import Database, rfc3339, table
from cashman.db.base import unavailable
from cashman.errors import ConfigurationError
from cashman.limits import REFRESH_SECONDS, SECRET_BYTES_MIN
from cashman.model.access import AccessHead, SigningKeyRecord
from cashman.translations import message

HS256: Final = HMACAlgorithm(HMACAlgorithm.SHA256)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What a token is signed with, and the name that the token calls it by."""

    kid: str
    secret: bytes = field(repr=False)
    created_at: dt.datetime
    """From when on it signed; of a key that the settings give, 1970."""


class Keyring:
    """Keys in their order, the newest first: that one signs, and all are believed."""

    def __init__(self, keys: Sequence[SigningKey]) -> None:
        self.keys = tuple(keys)
        self.signing = self.keys[0]
        self._by_kid = {key.kid: key for key in self.keys}

    def get(self, kid: str) -> SigningKey | None:
        """The key of a name."""
        return self._by_kid.get(kid)

    def __repr__(self) -> str:
        return f"Keyring({', '.join(key.kid for key in self.keys)})"


class SigningKeys(ABC):
    """Where the keys are kept. Not to be asked within a transaction: it may begin one of its own."""

    @abstractmethod
    def load(self) -> Keyring:
        """The keys; the first is made when it is first asked for, and all who ask at once get the same."""

    @abstractmethod
    def rotate(self) -> Keyring:
        """Let a new key sign from now on; drop those that signed nothing any more that is still in force."""


class GivenKeys(SigningKeys):
    """The keys that the settings give, in their order."""

    def __init__(self, given: Sequence[str]) -> None:
        since = dt.datetime.fromtimestamp(0, dt.UTC)
        found = [text.encode() for text in dict.fromkeys(given)]
        for secret in found:
            _check_given(secret)
        self._keyring = Keyring([SigningKey(kid_of(secret), secret, since) for secret in found])

    def load(self) -> Keyring:
        return self._keyring

    def rotate(self) -> Keyring:
        raise ConfigurationError("the keys are given: put a new one first in CASHMAN_SECRET_KEY")


def _check_given(secret: bytes) -> None:
    if len(secret) < SECRET_BYTES_MIN:
        raise ConfigurationError(f"CASHMAN_SECRET_KEY: has to be of {SECRET_BYTES_MIN} bytes or more")
    try:
        HS256.prepare_key(secret)
    except InvalidKeyError:
        raise ConfigurationError(
            "CASHMAN_SECRET_KEY: a key of another kind, such as a public one, cannot sign"
        ) from None


class FileKeys(SigningKeys):
    """The keys in a file beside the database, which nobody else may read: a line for each, and a sum of them all.

    The file is only ever replaced as a whole, under the lock beside the database.
    """

    def __init__(self, database: Database, path: Path) -> None:
        self._database = database
        self.path = path

    def load(self) -> Keyring:
        with self._told():
            return self._read() or self._make()

    def _make(self) -> Keyring:
        self._database.open()  # without a database, nothing is made beside it
        with self._database.exclusive():
            return self._read() or self._write(_rotated(()))

    def rotate(self) -> Keyring:
        self._database.open()
        with self._told(), self._database.exclusive():
            found = self._read()
            keyring = self._write(_rotated(found.keys if found else ()))
        self._database.write(_move_head)  # not under the lock, which it takes itself
        return keyring

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Say what the operating system refuses."""
        try:
            yield
        except PermissionError as error:
            raise ConfigurationError(f"the keys in {self.path} cannot be used: {error.strerror}") from error
        except OSError as error:
            told = message("The keys beside the database cannot be used: {reason}.", reason=error.strerror)
            raise unavailable(told) from error

    def _read(self) -> Keyring | None:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ConfigurationError(f"the keys in {self.path} cannot be used: it is not a file")
            if stat.S_IMODE(status.st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
                raise ConfigurationError(f"others may read the keys in {self.path}: chmod 600 it, and rotate the keys")
            content = os.read(descriptor, status.st_size)
        finally:
            os.close(descriptor)
        try:
            return Keyring(_keys_in(content))
        except (ValueError, IndexError):
            raise ConfigurationError(
                f"the keys in {self.path} are damaged: bring back a copy, or delete it, and everybody signs in again"
            ) from None

    def _write(self, keys: Sequence[SigningKey]) -> Keyring:
        new = self.path.with_name(self.path.name + ".new")
        new.unlink(missing_ok=True)  # of somebody who was killed while writing it
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_content_of(keys))
            file.flush()
            os.fsync(descriptor)
        new.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)  # the new name, too, is on disk before anything is signed
        finally:
            os.close(folder)
        return Keyring(keys)


_HEADING: Final = "# Cashman signs its tokens with these: whoever reads them can be anybody."
_SUM: Final = "sha256"


def _content_of(keys: Sequence[SigningKey]) -> bytes:
    lines = [f"{key.kid} {base64.b64encode(key.secret).decode()} {rfc3339(key.created_at)}" for key in keys]
    text = "\n".join([_HEADING, *lines, ""])
    return f"{text}{_SUM} {hashlib.sha256(text.encode()).hexdigest()}\n".encode()


def _keys_in(content: bytes) -> list[SigningKey]:
    """The keys of a file; ValueError where it is not as it was written."""
    text, _, told = content.decode().rpartition(f"{_SUM} ")
    if told != f"{hashlib.sha256(text.encode()).hexdigest()}\n":
        raise ValueError("the sum is of other lines")
    keys = []
    for line in text.splitlines()[1:]:
        kid, secret, created_at = line.split(" ")
        keys.append(SigningKey(kid, base64.b64decode(secret), dt.datetime.fromisoformat(created_at)))
    return keys


class TableKeys(SigningKeys):
    """The keys in the database itself, so that every machine before one server has the same."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self) -> Keyring:
        found = self._database.read(_select)
        return Keyring(found or self._database.write(self._make))

    @staticmethod
    def _make(connection: Connection) -> list[SigningKey]:
        _move_head(connection)  # which is what the others wait for
        return _select(connection) or _replace(connection, ())

    def rotate(self) -> Keyring:
        def replace(connection: Connection) -> list[SigningKey]:
            _move_head(connection)
            return _replace(connection, _select(connection))

        return Keyring(self._database.write(replace))


def _select(connection: Connection) -> list[SigningKey]:
    columns = (SigningKeyRecord.kid, SigningKeyRecord.secret, SigningKeyRecord.created_at)
    rows = connection.execute(select(*columns).order_by(SigningKeyRecord.created_at.desc()))
    keys = [SigningKey(*row) for row in rows]
    if any(key.kid != kid_of(key.secret) for key in keys):
        raise ConfigurationError("the table signing_keys is damaged: empty it, and everybody signs in again")
    return keys


def _replace(connection: Connection, keys: Sequence[SigningKey]) -> list[SigningKey]:
    new = _rotated(keys)
    row = {"kid": new[0].kid, "secret": new[0].secret, "created_at": new[0].created_at}
    connection.execute(insert(table(SigningKeyRecord)), row)
    kept = [key.kid for key in new]
    connection.execute(delete(table(SigningKeyRecord)).where(SigningKeyRecord.kid.not_in(kept)))
    return new


def _move_head(connection: Connection) -> None:
    """Let every worker read the keys again; whoever else moves the head waits until the end of the transaction."""
    connection.execute(update(table(AccessHead)).values(version=AccessHead.version + 1))


def _rotated(keys: Sequence[SigningKey]) -> list[SigningKey]:
    """A new key, and those that may have signed what is still in force: less than REFRESH_SECONDS ago."""
    now = dt.datetime.fromtimestamp(time.time(), dt.UTC)
    if keys:  # also where the clock was put back
        now = max(now, keys[0].created_at + dt.timedelta(microseconds=1))
    secret = secrets.token_bytes(SECRET_BYTES_MIN)
    new = [SigningKey(kid_of(secret), secret, now), *keys]
    kept_since = now - dt.timedelta(seconds=REFRESH_SECONDS)
    # A key signed until the one before it in the list was made.
    return new[:1] + [key for key, next_ in zip(new[1:], new, strict=False) if next_.created_at > kept_since]


def kid_of(secret: bytes) -> str:
    """The name of a key: it tells nothing of the secret, and a damaged one has another."""
    return hmac.new(secret, b"cashman signing key", hashlib.sha256).hexdigest()[:16]


def signing_keys(database: Database, given: Sequence[str] | None) -> SigningKeys:
    """Where the keys of a database are kept, unless the settings give them."""
    if given is not None:
        return GivenKeys(given)
    if database.keys_path is not None:
        return FileKeys(database, database.keys_path)
    return TableKeys(database)
