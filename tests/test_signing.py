"""Signing keys: made once, kept from others, and followed by the next without ending what the last one signed."""

from cashman.access.signing import signing_keys
from cashman.ledger import Books


def test_the_first_key_is_made_at_first_use_and_stays(books: Books) -> None:
    first = signing_keys(books.database, None).load()
    assert signing_keys(books.database, None).load().keys == first.keys
    assert len(first.keys) == 1


def test_rotation_lets_a_new_key_sign_and_goes_on_believing_the_old(books: Books) -> None:
    keys = signing_keys(books.database, None)
    old = keys.load().signing
    new = keys.rotate()
    assert new.signing != old
    assert new.keys == (new.signing, old)
    assert keys.load().keys == new.keys
