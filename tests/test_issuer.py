"""An outside issuer: its keys over HTTP, and its tokens."""

import pytest

from cashman.access.issuer import Issuer
from cashman.errors import InvalidToken


def test_what_is_no_token_is_not_of_the_issuer() -> None:
    issuer = Issuer("https://issuer.example", "cashman", "http://127.0.0.1:9/jwks")
    assert not issuer.issued("a.b.c")
    with pytest.raises(InvalidToken):
        issuer.check("a.b.c")
