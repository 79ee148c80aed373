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
ONE_LINE_CHARACTERS_MAX: Final = 1_000
SEARCH_CHARACTERS_MAX: Final = 200
STEM_CHARACTERS_MAX: Final = 500  # at 4 bytes each: an entry of PostgreSQL's inverted index has at most 2,712 bytes
EXPIRY_SECONDS: Final = 5  # how often a worker looks whether something has expired
EXPIRES_IN_SECONDS_MAX: Final = 10 * 366 * 86_400

ACCOUNTS_MAX: Final = 10_000  # of one ledger: a worker keeps their names in memory
CATEGORIES_MAX: Final = 50_000  # the same
CHARTS_MAX: Final = 200  # ledgers whose names a worker keeps in memory

# 15 significant digits: even a client that reads JSON numbers as doubles recovers the exact decimal.
MINOR_UNITS_MAX: Final = 999_999_999_999_999
# What an amount may be written with: more is refused before a Decimal is made of it.
AMOUNT_CHARACTERS_MAX: Final = 40

DOCUMENT_BYTES_MAX: Final = 1_048_576
JSON_DEPTH_MAX: Final = 32
OBJECT_MEMBERS_MAX: Final = 1_000  # of one object: what is unknown is told name by name
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
SAMPLE_SECONDS: Final = 2  # how often a worker notes for /metrics what goes up and down
PROBE_SECONDS_MAX: Final = 2.0  # how long it is waited for a database that is asked how it is
PROBE_FRESH_SECONDS: Final = 1.0  # how long its answer stands for those who ask next
WRITER_SECONDS_MAX: Final = 60.0  # a commit that takes longer is stuck; the largest import takes a third of it
POOL_DEFAULT: Final = 10  # connections to PostgreSQL of each process, of which one writes

INT64_MAX: Final = 2**63 - 1

IDEMPOTENCY_KEY_CHARACTERS_MAX: Final = 255
KEYED_ANSWERS_KEPT: Final = 8  # days; the promise is 7

BATCH_TRANSACTIONS_MAX: Final = 10_000
BATCH_BYTES_MAX: Final = 16 * 1_048_576

FEED_ENTRIES_DEFAULT: Final = 1_000
FEED_ENTRIES_MAX: Final = 10_000

LANGUAGE_RANGES_MAX: Final = 32  # of one Accept-Language; what comes after them is not read

EMAIL_CHARACTERS_MAX: Final = 254  # RFC 5321, 4.5.3.1.3, less the brackets
NAME_CHARACTERS_MAX: Final = 100  # of a user, an API key, a ledger
PASSWORD_CHARACTERS_MIN: Final = 10
PASSWORD_CHARACTERS_MAX: Final = 200
SECRET_BYTES_MIN: Final = 32  # of CASHMAN_SECRET_KEY: 256 bits, as RFC 7518 asks of a key for HS256
TOKEN_CHARACTERS_MAX: Final = 8_192  # of an Authorization header; an outside issuer's tokens may be long
ACCESS_SECONDS: Final = 15 * 60  # how long an access token is good
REFRESH_SECONDS: Final = 30 * 86_400  # how long a refresh token is good, and a key that signed is kept after the next
PAGE_GRACE_SECONDS: Final = 30  # how long a browser's cookie is taken after it was turned: requests cross each other
CLOCK_SKEW_SECONDS: Final = 30  # how far the clock of an outside issuer may be off
API_KEYS_MAX: Final = 100  # of one user
SESSIONS_MAX: Final = 100  # of one user; the oldest ends
LEDGERS_MAX: Final = 100  # that one user may make
LEDGER_MEMBERS_MAX: Final = 1_000  # of one ledger
SIGN_IN_SECONDS: Final = 15 * 60
SIGN_IN_TRIES_OF_ACCOUNT: Final = 10  # in SIGN_IN_SECONDS
SIGN_IN_TRIES_OF_ADDRESS: Final = 100  # in SIGN_IN_SECONDS: many people may be behind one address
RATE_SECONDS: Final = 60  # over which requests are counted for CASHMAN_RATE_LIMIT
LAST_USE_SECONDS: Final = 60  # how exactly the last use of an API key is known
HASHES_AT_ONCE: Final = 2  # of passwords, in one worker: each takes 64 MB
BODY_SECONDS: Final = 0.05  # where a body takes longer to come, who sends it is asked for again

IMPORT_ROWS_MAX: Final = 50_000  # that one commit takes; the command line imports more in chunks
IMPORT_CHUNK_ROWS: Final = 10_000  # what each commit takes then
IMPORT_BYTES_MAX: Final = 32 * 1_048_576  # over HTTP
IMPORT_WHOLE_BYTES_MAX: Final = 64 * 1_048_576  # of a format that is not read line by line
IMPORT_FAULTS_MAX: Final = 1_000  # that are told of one file

EXPORTS_AT_ONCE_MAX: Final = 4  # of each worker: each holds a connection of its own for as long as it takes
EXPORT_SECONDS_MAX: Final = 900  # then a client that reads too slowly is cut off
EXPORT_ROWS_AT_ONCE: Final = 2_000
EXPORT_PART_CHARACTERS: Final = 100_000

IMPORTS_AT_ONCE_MAX: Final = 2  # of each worker: each holds its file in memory
MAPPINGS_MAX: Final = 100  # of one ledger
MAPPING_NAME_CHARACTERS_MAX: Final = 50
