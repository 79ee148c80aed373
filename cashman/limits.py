"""Every limit of the wire, with its unit; the reason is beside each that is not plain."""

from typing import Final

DESCRIPTION_CHARACTERS_MAX: Final = 500
CATEGORY_BYTES_MAX: Final = 200
PAYEE_CHARACTERS_MAX: Final = 200
NOTES_CHARACTERS_MAX: Final = 5_000
ACCOUNT_CHARACTERS_MAX: Final = 100
TAGS_MAX: Final = 20
TAG_CHARACTERS_MAX: Final = 50
LINES_MAX: Final = 100  # of one split receipt
SEARCH_CHARACTERS_MAX: Final = 200
STEM_CHARACTERS_MAX: Final = 500  # at 4 bytes each: an entry of PostgreSQL's inverted index has at most 2,712 bytes
EXPIRY_SECONDS: Final = 5  # how often a worker looks whether something has expired
EXPIRES_IN_SECONDS_MAX: Final = 10 * 366 * 86_400

ACCOUNTS_MAX: Final = 10_000  # of one ledger: a worker keeps their names in memory
CATEGORIES_MAX: Final = 50_000  # the same

# 15 significant digits: even a client that reads JSON numbers as doubles recovers the exact decimal.
MINOR_UNITS_MAX: Final = 999_999_999_999_999
# What an amount may be written with: more is refused before a Decimal is made of it.
AMOUNT_CHARACTERS_MAX: Final = 40

DOCUMENT_BYTES_MAX: Final = 1_048_576
JSON_DEPTH_MAX: Final = 32
MEMBERS_MAX: Final = 100  # of one object; with more, that many unknown names are told and nothing else is checked
HINTS_MAX: Final = 20  # unknown names in one document for which a known one is looked up

PAGE_ROWS_DEFAULT: Final = 100
PAGE_ROWS_MAX: Final = 1_000
REPORT_DIMENSIONS_MAX: Final = 2
CASHFLOW_MONTHS_MAX: Final = 1_200  # a month without figures is a line, too
CATEGORY_DEPTH_MAX: Final = 100
PAGE_CACHE_BYTES_MAX: Final = 4 * 1_048_576  # of each worker, for pages that are asked for again
CURSOR_CHARACTERS_MAX: Final = 500

GATHER_SECONDS: Final = 0.001  # how long a commit waits for company, where the one before had some
BATCH_CHANGES_MAX: Final = 1_000  # changes that one commit takes together

LOCK_WAIT_SECONDS_MAX: Final = 5.0  # how long a write waits for the database before it answers 503
RETRY_AFTER_SECONDS: Final = 2

INT64_MAX: Final = 2**63 - 1

IDEMPOTENCY_KEY_CHARACTERS_MAX: Final = 255
KEYED_ANSWERS_KEPT: Final = 8  # days; the promise is 7

BATCH_TRANSACTIONS_MAX: Final = 10_000
BATCH_BYTES_MAX: Final = 16 * 1_048_576

FEED_ENTRIES_DEFAULT: Final = 1_000
FEED_ENTRIES_MAX: Final = 10_000
