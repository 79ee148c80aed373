"""Every rule a caller can break, one class each; `problems` renders them as RFC 9457 problem details.

A class carries what is the same every time (`status`, `slug`, `title`, and the `explanation` that the
page `/problems/<slug>` shows); an instance carries what happened this time (`detail`, `errors`).
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar


class Problem(Exception):
    """An error that is told to the caller as it is."""

    status: ClassVar[int]
    slug: ClassVar[str]
    title: ClassVar[str]
    explanation: ClassVar[str]
    field: ClassVar[str] = "id"
    """The field that is to blame, where the problem is told of one transaction among others."""

    def __init__(
        self,
        detail: str | None = None,
        errors: Mapping[Any, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})

    @classmethod
    def status_text(cls) -> str:
        """The status as a page shows it: "404 Not Found"."""
        status = getattr(cls, "status", None)
        return f"{status} {HTTPStatus(status).phrase}" if status else "4xx"


class MalformedDocument(Problem):
    status, slug = 400, "malformed-document"
    title = "The body is not a JSON document that can be read."
    explanation = (
        "The body has to be one JSON document (RFC 8259) in UTF-8: no NaN or Infinity, no member twice in "
        "one object, nothing nested deeper than 32 levels. Nothing was recorded."
    )


class UnreadableFile(Problem):
    status, slug = 422, "unreadable-file"
    title = "The file cannot be imported as it is."
    explanation = (
        "The body is no file of the format that the path names, or of none that can be recognized; or it is damaged, "
        "empty, or an answer that holds no transactions. `detail` says what was found. Nothing was booked."
    )


class BadRequest(Problem):
    status, slug = 400, "bad-request"
    title = "The request cannot be understood."
    explanation = "The request breaks a rule of HTTP, such as a header that cannot be read. Nothing was recorded."


class Unauthenticated(Problem):
    status, slug = 401, "unauthenticated"
    title = "Say who you are."
    explanation = (
        "Send `Authorization: Bearer …` with an access token from `POST /tokens`, or with an API key. `detail` says "
        "why this request was not let in without one, and what would help."
    )


class InvalidToken(Problem):
    status, slug = 401, "invalid-token"
    title = "The token is not valid."
    explanation = (
        "The access token or API key is unknown, expired, revoked or damaged, or its session has ended. "
        "`POST /tokens/refresh` or `POST /tokens` gives a new access token."
    )


class WrongCredentials(Problem):
    status, slug = 401, "wrong-credentials"
    title = "E-mail and password do not belong together."
    explanation = (
        "There is no user who may sign in with this e-mail and this password. It is not told which of the two is wrong."
    )


class Forbidden(Problem):
    status, slug = 403, "forbidden"
    title = "You may not do that."
    explanation = (
        "The request needs a higher role in the ledger (viewer, editor, owner), a wider scope of the API key "
        "(read, write, admin), or an administrator. `detail` says which. Nothing was done."
    )


class NotFound(Problem):
    status, slug = 404, "not-found"
    title = "There is nothing here."
    explanation = (
        "No resource has this URL: the id is unknown, the transaction is void, or the path is misspelt. "
        "A void transaction still has its history, and POST …/restore brings it back."
    )


class MethodNotAllowed(Problem):
    status, slug = 405, "method-not-allowed"
    title = "This resource does not take that method."
    explanation = "The `Allow` header of the answer names the methods that it takes."


class IdTaken(Problem):
    status, slug = 409, "id-taken"
    title = "The id belongs to another transaction."
    explanation = (
        "An id that the client chooses makes a POST safe to repeat: the same content gets the first answer "
        "again. This id was first used with other content, so nothing was recorded."
    )


class EmailTaken(Problem):
    status, slug, field = 409, "email-taken", "email"
    title = "Another user has this e-mail."
    explanation = "Each user has an e-mail of its own, without regard to case. Nothing was changed."


class SubjectTaken(Problem):
    status, slug, field = 409, "subject-taken", "subject"
    title = "Another user has this subject."
    explanation = "A subject of the outside issuer stands for one user. Nothing was changed."


class LastAdministrator(Problem):
    status, slug, field = 409, "last-administrator", "admin"
    title = "The last administrator cannot go."
    explanation = "Somebody has to be able to let others in: make another user an administrator first."


class LastOwner(Problem):
    status, slug, field = 409, "last-owner", "role"
    title = "The last owner of a ledger cannot go."
    explanation = "A ledger always has an owner: make another member an owner first, or revoke the user instead."


class TooMany(Problem):
    status, slug = 409, "too-many"
    title = "There are too many of them already."
    explanation = "`detail` says how many there may be. Take one away first."


class NameTaken(Problem):
    status, slug = 409, "name-taken"
    title = "Another account has this name."
    explanation = "Each account of a ledger has a name of its own, closed ones too. Nothing was recorded."


class AccountNeeded(Problem):
    status, slug = 409, "account-needed"
    title = "The main account stays as it is."
    explanation = (
        "A transaction that names no account is on `main`, so it always exists: it can be neither renamed, nor closed, "
        "nor deleted."
    )


class AccountUsed(Problem):
    status, slug = 409, "account-used"
    title = "The account has transactions."
    explanation = (
        "An account that a transaction was ever booked on, also one that is void now, stays. "
        'Close it instead: PATCH it with {"closed": true}.'
    )


class AccountClosed(Problem):
    status, slug, field = 409, "account-closed", "account"
    title = "The account is closed."
    explanation = (
        "Nothing is booked on a closed account, and nothing on it is changed. "
        'To correct something, open it again first: PATCH it with {"closed": false}.'
    )


class BooksClosed(Problem):
    status, slug, field = 409, "books-closed", "date"
    title = "The books are closed for that day."
    explanation = (
        "Days up to the ledger's `closed_until` are settled: no write may touch them. PATCH /ledger moves that day, "
        "and the journal records that it was moved."
    )


class CategoryExists(Problem):
    status, slug = 409, "category-exists"
    title = "There is a category of that path already."
    explanation = (
        "A rename never mixes two categories. To make one of them, POST the same to /categories/merge; "
        "a merge cannot be taken apart again."
    )


class Grouped(Problem):
    status, slug = 409, "grouped"
    title = "The transaction is one leg of a transfer."
    explanation = "The two legs of a transfer belong together: change its accounts and amounts at `/transfers/{group}`."


class Expired(Problem):
    status, slug = 409, "expired"
    title = "The pending transaction has expired."
    explanation = "Past its `expires_at` a pending transaction counts nowhere, and cannot be booked. Record a new one."


class AnswerErased(Problem):
    status, slug = 410, "answer-erased"
    title = "The request was carried out before; its answer was erased."
    explanation = (
        "A request with this `Idempotency-Key` was carried out, and nothing was done again. Its answer cannot be "
        "given any more, because words in it may have been redacted since. GET the transaction instead."
    )


class AlreadyChanged(Problem):
    status, slug = 412, "precondition-failed"
    title = "It has changed since it was read."
    explanation = (
        "`If-Match` names the version that the change was made for, and there is another one now, or a name in it was "
        "changed. "
        "GET it again, look at what changed, and repeat the change with the new `ETag`."
    )


class TooLarge(Problem):
    status, slug = 413, "too-large"
    title = "The body is too large."
    explanation = "A document may have 1 MB (1,048,576 bytes). Nothing was recorded."


class UnsupportedMediaType(Problem):
    status, slug = 415, "unsupported-media-type"
    title = "The body's media type is not taken here."
    explanation = (
        "Send `Content-Type: application/json` (a PATCH may also say `application/merge-patch+json`), in UTF-8 "
        "and without a `Content-Encoding`."
    )


class Invalid(Problem):
    status, slug = 422, "invalid"
    title = "Some fields break a rule."
    explanation = (
        "`errors` names each field and the rule that it breaks; unknown names are errors, never ignored. "
        "Nothing was recorded."
    )


class KeyReused(Problem):
    status, slug = 422, "key-reused"
    title = "The Idempotency-Key was used for another request."
    explanation = (
        "An `Idempotency-Key` stands for one request: the same method, path and content. This key was used with "
        "another one, so nothing was done. Use a new key for a new request."
    )


class TotalTooLarge(Problem):
    status, slug = 422, "total-too-large"
    title = "A total would grow too large."
    explanation = (
        "Totals are kept exactly, in 64-bit integers of minor units (about 92 quadrillion of a currency with "
        "two decimals). This write would take one past that, so nothing was recorded."
    )


class TooManyRequests(Problem):
    status, slug = 429, "too-many-requests"
    title = "Too many requests."
    explanation = (
        "There is a limit to how often this may be asked for, or guessed; `Retry-After` says after how many seconds to "
        "try again. Nothing was done."
    )


class ServiceFault(Problem):
    status, slug = 500, "internal-error"
    title = "The service made a mistake."
    explanation = (
        "This is a fault of the service, not of the request; its log says more. What was acknowledged before "
        "is kept; repeat the request with the same id to be sure that it is recorded once."
    )


class StoreUnavailable(Problem):
    status, slug = 503, "store-unavailable"
    title = "The database cannot take the request right now."
    explanation = (
        "The database is locked, full, read-only or out of reach; `Retry-After` says when to try again, and no "
        "restart is needed once it is back. Nothing was recorded, unless the connection broke in the very moment of "
        "the commit: repeat a write with the same `Idempotency-Key` or `id`, and it is recorded once."
    )


class NotReady(Problem):
    status, slug = 503, "not-ready"
    title = "The service is not ready."
    explanation = (
        "`errors` names each check that failed and why: the database, its migrations, the disk or the writer. Requests "
        "may work all the same, but send them to another instance where there is one."
    )


class HttpProblem(Problem):
    """Any other HTTP error, such as 408 or 431, under its own name."""

    slug = "http-error"
    title = "The request was refused."
    explanation = "The `status` member and RFC 9110 say why."


class ConfigurationError(Exception):
    """A setting, or a database, that the service must not start with; the message is one line."""
