"""Who may: the one way in to users, sessions, API keys and the members of ledgers.

What a request asks of it is answered from memory (`Directory`) after one cheap statement; what changes something is
one transaction under the lock of `access_heads`, so that it happens in one order on every worker and machine.
"""

import base64
import hashlib
import hmac
import ipaddress
import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, select, update

from cashman.access import api_keys, members, sessions, tries, users
from cashman.access.caller import BOOTSTRAP, OPEN_DOOR, Caller
from cashman.access.directory import Directory, Membership
from cashman.access.issuer import Issuer, OutsideClaims
from cashman.access.passwords import hash_password, is_outdated, verify_password
from cashman.access.signing import Keyring, SigningKeys
from cashman.access.tokens import AccessClaims, Tokens
from cashman.db import AnyRow, table, unavailable, utc_now
from cashman.errors import (
    ConfigurationError,
    Forbidden,
    Invalid,
    InvalidToken,
    NotFound,
    StoreUnavailable,
    TooManyRequests,
    WrongCredentials,
)
from cashman.ledger import Books, Ledger
from cashman.limits import (
    ACCESS_SECONDS,
    CLOCK_SKEW_SECONDS,
    LAST_USE_SECONDS,
    PAGE_GRACE_SECONDS,
    SIGN_IN_TRIES_OF_ACCOUNT,
    SIGN_IN_TRIES_OF_ADDRESS,
    TOKEN_CHARACTERS_MAX,
)
from cashman.model.access import AccessHead
from cashman.translations import message

__all__ = ["BOOTSTRAP", "OPEN_DOOR", "Access", "Caller", "Membership", "SignedIn"]

Result = TypeVar("Result")

log = logging.getLogger(__name__)

_CHECKED_MAX: Final = 10_000
_SETUP: Final = tries.subject_of("setup", "")


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a sign-in gives."""

    access_token: str
    refresh_token: str
    expires_in: int = ACCESS_SECONDS
    """How many seconds the access token is good."""


class Access:
    """Who may what in the ledgers of one database."""

    def __init__(
        self, books: Books, keys: SigningKeys, issuer: Issuer | None = None, bootstrap_key: str | None = None
    ) -> None:
        self.books = books
        self.directory = Directory(books.database)
        self.keys = keys
        self.issuer = issuer
        self._bootstrap = None if bootstrap_key is None else _digest(bootstrap_key)
        self._keyring: Keyring | None = None
        self._tokens = Tokens(self._current_keys)
        self._checked: dict[str, AccessClaims] = {}
        self._noted_uses: dict[str, float] = {}

    # Who it is.

    def catch_up(self) -> None:
        """Forget what does not hold any more; to be called once for each request."""
        if self.directory.refresh():
            self._keyring = None
            self._checked.clear()

    @property
    def founded(self) -> bool:
        """Whether there was ever a user."""
        return self.directory.founded

    def caller_with(self, token: str) -> Caller:
        """Whose access token, API key or outside token it is; InvalidToken where it is good for nothing."""
        if len(token) > TOKEN_CHARACTERS_MAX or not (token.isascii() and token.isprintable()):
            raise InvalidToken()
        if self._bootstrap is not None and hmac.compare_digest(self._bootstrap, _digest(token)):
            return BOOTSTRAP
        if token.startswith(api_keys.PREFIX):
            caller, key = self.directory.user_of_key(token)
            self._note_use(key)
            return caller
        if self.issuer is not None and self.issuer.issued(token):
            return self._outside_user(self.issuer.check(token))
        claims = self._check_access(token)
        return self.directory.user_of_session(claims.user_id, claims.session_id)

    def _outside_user(self, claims: OutsideClaims) -> Caller:
        """The user whom the outside issuer means: by subject, which is noted when the e-mail is first met."""
        try:
            return self.directory.user_of_subject(claims.subject)
        except InvalidToken:
            email = claims.email
            if email is None or self._read(lambda connection: users.awaited(connection, email)) is None:
                raise
        self._write(lambda connection: users.note_subject(connection, email, claims.subject))
        return self.directory.user_of_subject(claims.subject)

    def _check_access(self, token: str) -> AccessClaims:
        """A token's claims; one whose signature was right once needs no more than a look at the clock."""
        claims = self._checked.get(token)
        # Where the clock was set back, it may be of a time that has yet to come.
        if claims is not None and 0 < claims.expires_at - time.time() <= ACCESS_SECONDS + CLOCK_SKEW_SECONDS:
            return claims
        claims = self._tokens.check_access(token)
        if len(self._checked) >= _CHECKED_MAX:
            self._checked.clear()
        self._checked[token] = claims
        return claims

    def _note_use(self, key: AnyRow) -> None:
        """Write down that a key is used: not each time, and not where that would fail the request."""
        now = time.monotonic()
        if now - self._noted_uses.get(key.key_id, -LAST_USE_SECONDS) < LAST_USE_SECONDS:
            return
        if len(self._noted_uses) >= _CHECKED_MAX:
            self._noted_uses.clear()
        self._noted_uses[key.key_id] = now
        try:
            self._write(lambda connection: api_keys.used(connection, key.key_id, utc_now()), known=True)
        except StoreUnavailable:
            log.warning("the use of an API key cannot be noted right now")

    def open(self) -> Keyring:
        """Make ready what tokens are signed with; raises StoreUnavailable or ConfigurationError."""
        self.books.database.open()
        return self.keys.load()

    def _current_keys(self) -> Keyring:
        if self._keyring is not None:
            return self._keyring
        version = self.directory.version
        try:
            keyring = self.open()
        except ConfigurationError as error:  # it was right at the start, and somebody has spoilt it since
            log.error("tokens can be neither signed nor checked: %s", error)
            raise unavailable("The signing keys cannot be read.") from error
        if version == self.directory.version:  # else there may be another key since
            self._keyring = keyring
        return keyring

    def rotate_keys(self) -> None:
        """Sign with another key from now on; what the one before has signed stays good."""
        self.books.database.open()
        self._keyring = self.keys.rotate()

    def membership(self, caller: Caller, ledger: str | None = None) -> Membership:
        """The caller's place in a ledger, by its ULID, or in their own; NotFound where they have none."""
        found = self.directory.memberships(caller.principal).get(caller.home if ledger is None else ledger)
        if found is None or (caller.only_home and found.ledger_id != caller.home):
            raise NotFound()
        return found

    def ledger(self, caller: Caller, ledger: str | None, needed: str) -> Ledger:
        """A ledger in which the caller may act as `needed`; NotFound, or Forbidden to a member who may not."""
        place = self.membership(caller, ledger)
        if not caller.may_as(place.role, needed):
            raise Forbidden(
                message(
                    "It takes the role {needed}. Your role is {role}, and your scope {scope}.",
                    needed=needed,
                    role=place.role,
                    scope=caller.scope,
                )
            )
        return self.books.ledger(place.ledger_id)

    # Signing in.

    def setup_code(self) -> str:
        """What the first user has to know: it stands in the log, and is the same until there is one."""
        made = hmac.digest(self._current_keys().signing.secret, b"cashman setup code", "sha256")
        letters = base64.b32encode(made)[:20].decode()
        return "-".join(letters[place : place + 4] for place in range(0, 20, 4))

    def sign_in(self, email: str, password: str, address: str) -> SignedIn:
        """Begin a session; WrongCredentials without saying what is wrong, TooManyRequests after too many tries."""
        user_id, session_id, until = self._begin(email, password, address)
        return self._signed_in(user_id, session_id, 1, until)

    def sign_in_page(self, email: str, password: str, address: str) -> str:
        """Begin a session of a browser, by the same rules, and give the token for its cookie."""
        user_id, session_id, until = self._begin(email, password, address)
        return self._tokens.issue_page(user_id, session_id, 1, until)

    def _begin(self, email: str, password: str, address: str) -> tuple[str, str, Any]:
        self.catch_up()
        account = tries.subject_of("account", users.email_key(email))
        when = self._try((_address(address), SIGN_IN_TRIES_OF_ADDRESS), (account, SIGN_IN_TRIES_OF_ACCOUNT))
        user = self._read(lambda connection: users.by_email(connection, email))
        kept = None if user is None or user.revoked else user.password_hash
        if not verify_password(kept, password) or user is None:
            raise WrongCredentials()
        newer = hash_password(password) if kept is not None and is_outdated(kept) else None

        def begin(connection: Connection) -> tuple[str, Any]:
            now = users.by_email(connection, email)
            if now is None or now.revoked or now.password_hash != kept:  # changed while it was compared
                raise WrongCredentials()
            if newer is not None:
                users.rehash(connection, now.id, newer)
            tries.refund(connection, account, when)
            tries.refund(connection, _address(address), when)
            return sessions.begin(connection, now.id)

        session_id, until = self._write(begin, known=True)
        return user.id, session_id, until

    def refresh(self, token: str) -> SignedIn:
        """Give new tokens for a refresh token, which is good once; InvalidToken for any other."""
        self.catch_up()
        claims = self._tokens.check_refresh(token)
        user_id, until = self._turn(claims.session_id, claims.turn)
        return self._signed_in(user_id, claims.session_id, claims.turn + 1, until)

    def caller_of_page(self, token: str) -> tuple[Caller, str | None]:
        """Whose cookie a token is from, and the next one for the cookie where it is time for that.

        A browser sends many requests at once: the one before is taken a little longer, and gives the same next one.
        """
        claims = self._tokens.check_page(token)
        following = None
        if claims.issued_at + ACCESS_SECONDS <= time.time():
            user_id, until = self._turn(claims.session_id, claims.turn, PAGE_GRACE_SECONDS)
            following = self._tokens.issue_page(user_id, claims.session_id, claims.turn + 1, until)
        return self.directory.user_of_session(claims.user_id, claims.session_id), following

    def _turn(self, session_id: str, number: int, grace_seconds: int = 0) -> tuple[str, Any]:
        turned = self._write(
            lambda connection: sessions.turn(connection, session_id, number, grace_seconds), known=True
        )
        if turned is None:
            raise InvalidToken()
        return turned

    def sign_out(self, session_id: str) -> None:
        """End a session."""
        self._write(lambda connection: sessions.end(connection, session_id))

    def sign_out_page(self, token: str) -> None:
        """End the session whose cookie a token is from, whether or not it is its turn; of any other, nothing."""
        try:
            claims = self._tokens.check_page(token)
        except InvalidToken:
            return
        self.sign_out(claims.session_id)

    def sign_out_everywhere(self, user_id: str) -> None:
        """End every session of a user."""
        self._write(lambda connection: sessions.end_all(connection, user_id))

    def _signed_in(self, user_id: str, session_id: str, turn: int, until: Any) -> SignedIn:
        return SignedIn(
            access_token=self._tokens.issue_access(user_id, session_id),
            refresh_token=self._tokens.issue_refresh(session_id, turn, until),
        )

    def _try(self, *subjects: tuple[bytes, int]) -> float:
        """Count a try before anything is compared, and give its time; TooManyRequests where there is none left."""

        def spend(connection: Connection) -> float | TooManyRequests:
            tries.forget_old(connection)
            when = time.time()
            for subject, limit in subjects:
                if not tries.spend(connection, subject, limit, when):
                    return tries.refused(connection, subject)
            return when

        spent = self._write(spend, known=True)
        if isinstance(spent, TooManyRequests):
            raise spent
        return spent

    # Users.

    def make_user(
        self, values: Mapping[str, Any], *, actor: str, setup_code: str | None = None, address: str | None = None
    ) -> AnyRow:
        """Make a user. The first, who takes over the books, over HTTP has to know the setup code."""
        if setup_code is not None:
            # Also of a code that comes too late: nobody can try it without end.
            self._try((_address(address or ""), SIGN_IN_TRIES_OF_ADDRESS), (_SETUP, SIGN_IN_TRIES_OF_ACCOUNT))
            if not hmac.compare_digest(_digest(setup_code.strip().upper()), _digest(self.setup_code())):
                raise Forbidden(message("That is not the setup code. It stands in the log of the last start."))
        password = values.get("password")
        hash_ = None if password is None else hash_password(password)

        def make(connection: Connection) -> AnyRow:
            first = not connection.execute(select(AccessHead.founded)).scalar_one()
            if setup_code is not None and not first:
                raise Forbidden(message("There is a user already: the setup code is good for the first one only."))
            if first and hash_ is None and self.issuer is None:
                raise Invalid(errors={"password": [message("The first user needs one, or nobody could sign in.")]})
            if first:
                connection.execute(update(table(AccessHead)).values(founded=True))
            return users.make(connection, values, hash_, first=first, currency=self.books.currency, actor=actor)

        return self._write(make)

    def user(self, user_id: str) -> AnyRow:
        """A user; NotFound where there is none."""
        return self._read(lambda connection: users.by_id(connection, user_id))

    def user_with(self, email: str) -> AnyRow:
        """The user who has an e-mail; NotFound where there is none."""
        found = self._read(lambda connection: users.by_email(connection, email))
        if found is None:
            raise NotFound()
        return found

    def users(self, after: str, limit: int) -> Sequence[AnyRow]:
        """So many users after one, in the order in which they were made."""
        return self._read(lambda connection: users.page(connection, after, limit))

    def change_user(self, user_id: str, values: Mapping[str, Any], expected: frozenset[int] | None = None) -> AnyRow:
        """Give some fields of a user new values."""
        password = values.get("password")
        hash_ = None if password is None else hash_password(password)
        others = {name: value for name, value in values.items() if name != "password"}
        return self._write(lambda connection: users.change(connection, user_id, others, hash_, expected))

    def check_password(self, user_id: str, password: str, address: str) -> None:
        """Have a user prove who it is by `current_password`.

        The tries count as those to sign in, and the right one, too: it shows whether somebody has an e-mail.
        """
        user = self.user(user_id)
        account = tries.subject_of("account", user.email_key)
        self._try((_address(address), SIGN_IN_TRIES_OF_ADDRESS), (account, SIGN_IN_TRIES_OF_ACCOUNT))
        if not verify_password(user.password_hash, password):
            raise Invalid(errors={"current_password": [message("Is not the password.")]})

    def delete_user(self, user_id: str, expected: frozenset[int] | None = None, heir: str | None = None) -> None:
        """Erase a user; the principal who is `heir` owns what would be left without an owner."""
        self._write(lambda connection: users.delete_user(connection, user_id, expected, heir))

    # API keys.

    def make_key(self, caller: Caller, values: Mapping[str, Any]) -> tuple[AnyRow, str]:
        """Make an API key of the caller's user, by the fields of its schema, and give what it is."""
        ledger = values["ledger"]
        try:
            only = None if ledger is None else self.membership(caller, ledger)
        except NotFound:
            raise Invalid(errors={"ledger": [message("You are no member of such a ledger.")]}) from None
        own = {**values, "ledger_id": only and only.ledger_id}
        return self._write(lambda connection: api_keys.make(connection, caller.user_id or "", own))

    def key(self, caller: Caller, key_id: str) -> AnyRow:
        """One of the caller's keys."""
        return self._read(lambda connection: api_keys.by_id(connection, caller.user_id or "", key_id))

    def keys_of(self, caller: Caller) -> Sequence[AnyRow]:
        """The caller's keys."""
        return self._read(lambda connection: api_keys.of_user(connection, caller.user_id or ""))

    def revoke_key(self, caller: Caller, key_id: str) -> None:
        """Take one of the caller's keys away."""
        self._write(lambda connection: api_keys.revoke(connection, caller.user_id or "", key_id))

    # Ledgers and their members.

    def make_ledger(self, caller: Caller, name: str, currency: str | None) -> AnyRow:
        """Make a ledger that the caller owns."""
        return self._write(
            lambda connection: members.make_ledger(
                connection, caller.principal, caller.actor, name, currency or self.books.currency
            )
        )

    def ledgers(self, caller: Caller, ledger_id: int | None = None) -> Sequence[AnyRow]:
        """The ledgers that the caller may use, or one of them."""
        only = caller.home if caller.only_home else ledger_id
        return self._read(lambda connection: members.of_principal(connection, caller.principal, only))

    def name_ledger(self, ledger_id: int, name: str | None) -> None:
        """Call a ledger something else."""
        self._write(lambda connection: members.name_ledger(connection, ledger_id, name))

    def members(self, ledger_id: int) -> Sequence[AnyRow]:
        """Who is a member of a ledger."""
        return self._read(lambda connection: members.of_ledger(connection, ledger_id))

    def put_member(self, ledger_id: int, user_id: str, role: str) -> bool:
        """Give a user a role in a ledger; whether they had none before."""
        return self._write(lambda connection: members.put(connection, ledger_id, user_id, role))

    def remove_member(self, ledger_id: int, user_id: str) -> None:
        """Take a user out of a ledger."""
        self._write(lambda connection: members.remove(connection, ledger_id, user_id))

    # Underneath.

    def _read(self, work: Callable[[Connection], Result]) -> Result:
        return self.books.database.read(work)

    def _write(self, work: Callable[[Connection], Result], *, known: bool = False) -> Result:
        """Run work alone among all that change who may; `known` where nobody has to forget what it knew."""

        def alone(connection: Connection) -> Result:
            connection.execute(select(AccessHead.version).with_for_update())
            result = work(connection)
            if not known:
                # By chance: on a standby that was promoted, a next number may stand for something else.
                connection.execute(update(table(AccessHead)).values(version=secrets.randbits(62)))
            return result

        return self.books.database.write(alone)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def _address(address: str) -> bytes:
    """What the tries of an address are counted by: who has one of IPv6 has all that share its first 64 bits."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return tries.subject_of("address", address)
    name = address if parsed.version == 4 else f"{int(parsed) >> 64:x}/64"
    return tries.subject_of("address", name)
