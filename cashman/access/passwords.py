"""Passwords: argon2id, beside the event loop, and never more than a few at once."""

import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from cashman.db import off_loop
from cashman.limits import HASHES_AT_ONCE

_hasher = PasswordHasher()  # argon2id with 64 MiB, as RFC 9106 has it for what has not much memory
_turns = threading.BoundedSemaphore(HASHES_AT_ONCE)
# The hash of a password that nobody knows: an unknown e-mail takes as long to be refused as a wrong password.
_nobodys: list[str] = []


def hash_password(password: str) -> str:
    """What is kept of a password."""
    with _turns:
        return off_loop(lambda: _hasher.hash(_normalized(password)))


def verify_password(kept: str | None, password: str) -> bool:
    """Whether a password is the one of which that was kept; it takes its time also where nothing was."""
    if not _nobodys:
        _nobodys.append(hash_password("nobody's"))
    with _turns:
        return off_loop(lambda: _matches(kept or _nobodys[0], _normalized(password))) and kept is not None


def is_outdated(kept: str) -> bool:
    """Whether a password would be hashed in another way by now."""
    return _hasher.check_needs_rehash(kept)


def _matches(kept: str, password: bytes) -> bool:
    try:
        return _hasher.verify(kept, password)
    except (VerificationError, InvalidHashError):
        return False


def _normalized(password: str) -> bytes:
    """The same password from every keyboard (RFC 8265, 4.2)."""
    return unicodedata.normalize("NFC", password).encode()
