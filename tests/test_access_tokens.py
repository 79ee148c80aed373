"""Cashman's own tokens: what they say, and what is refused."""

import datetime as dt

import pytest

from cashman.access.signing import GivenKeys
from cashman.access.tokens import AccessClaims, RefreshClaims, Tokens
from cashman.errors import InvalidToken

USER = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
SESSION = "01BX5ZZKBKACTAV9WEVGEMMVRZ"
TOKENS = Tokens(GivenKeys(["correct horse battery staple, 4 of them"]).load)


def test_an_access_token_says_who_and_in_which_session() -> None:
    claims = TOKENS.check_access(TOKENS.issue_access(USER, SESSION))
    assert claims == AccessClaims(USER, SESSION, claims.expires_at)


def test_a_refresh_token_says_which_turn_of_which_session() -> None:
    expires_at = dt.datetime.now(dt.UTC) + dt.timedelta(days=30)
    token = TOKENS.issue_refresh(SESSION, 7, expires_at)
    assert TOKENS.check_refresh(token) == RefreshClaims(SESSION, 7)
    with pytest.raises(InvalidToken):
        TOKENS.check_access(token)
