"""A believable year of a household, to look at: for a ledger that is still empty, and for no other.

It is made of the calendar alone: the same on each day, however often it is made, and from one day to the next only
its ends move.
"""

import datetime as dt
import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from random import Random
from typing import Any, Final

from ulid import ULID

from cashman.batch import SYSTEM, Batch
from cashman.changes import Change, Record, Request
from cashman.chart_changes import OpenAccount, ReplaceAccount
from cashman.ledger import ENTRIES_AT_FIRST, OWNERS_OWN, Books, Ledger
from cashman.model.account import MAIN_ACCOUNT, MAIN_ACCOUNT_ID
from cashman.model.currency import CURRENCIES
from cashman.model.expense import Expense
from cashman.model.income import Income
from cashman.model.transaction import Transaction, member_id
from cashman.model.transfer import Transfer
from cashman.receipts import Receipt

log = logging.getLogger(__name__)

DAYS: Final = 365
SAVINGS: Final = "Savings"
CARD: Final = "Card"
TRAVEL: Final = "Travel"
OPENING: Final = {MAIN_ACCOUNT: 4_950_00, SAVINGS: 8_400_00}

HOLIDAY_BEGINS: Final = 133
"""So many days ago."""
HOLIDAY_DAYS: Final = 10
HOLIDAY_TAG: Final = "Lisbon"

GROCERS: Final = ("Corner Market", "Green Basket", "Harvest Hall", "Weekend Market")
CAFES: Final = ("Blue Door Coffee", "Kiosk at the Station", "Three Beans")
LUNCHES: Final = (("Noodle House", "Noodles"), ("Falafel Cart", "Falafel"), ("Canteen", "Lunch"), ("Soup & Co", "Soup"))
DINERS: Final = (
    ("Luigi", "Pizza"),
    ("Sakura", "Sushi"),
    ("The Oak", "Dinner"),
    ("Taj Garden", "Curry"),
    ("Bistro 12", "Dinner"),
)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens to a household, as it would be written down."""

    words: str
    payee: str
    category: str
    amount: int | tuple[int, int]
    """In hundredths, or from how many to how many."""
    kind: type[Transaction] = Expense
    account: str = MAIN_ACCOUNT
    tags: tuple[str, ...] = ()
    notes: str | None = None


_FRIENDS: Final = ("friends",)
_EVERY: Final = range(1, 13)
_WINTER: Final = (11, 12, 1, 2, 3)
_SUMMER: Final = tuple(month for month in _EVERY if month not in _WINTER)

BY_MONTH: Final = (
    (1, _EVERY, Event("Rent", "Maple Street Homes", "Home:Rent", 1_950_00)),
    (1, _EVERY, Event("Monthly pass", "City Transit", "Transport:Transit", 62_00)),
    (2, _EVERY, Event("Gym", "Stonewall Gym", "Health:Sport", 39_00, account=CARD)),
    (3, _WINTER, Event("Electricity", "Northern Power", "Home:Electricity", (108_00, 142_00))),
    (3, _SUMMER, Event("Electricity", "Northern Power", "Home:Electricity", (56_00, 84_00))),
    (5, _EVERY, Event("Internet", "Fiberline", "Home:Internet", 44_90)),
    (6, _EVERY, Event("Health insurance", "Good Hands Mutual", "Health:Insurance", 318_00)),
    (8, _EVERY, Event("Phone", "Ring Mobile", "Home:Phone", 27_50)),
    (12, _EVERY, Event("Film streaming", "Lumen", "Subscriptions", 15_99, account=CARD)),
    (14, _EVERY, Event("Music streaming", "Octave", "Subscriptions", 10_99, account=CARD)),
    (15, (1, 4, 7, 10), Event("Dividends", "Index Fund", "Investments:Dividends", 200_00, Income)),
    (15, (3,), Event("Household insurance", "Good Hands Mutual", "Home:Insurance", 486_00, notes="For the year.")),
    (17, _EVERY, Event("Newspaper", "The Daily Ledger", "Subscriptions", 12_00, account=CARD)),
    (20, (5,), Event("Tax refund", "Tax Office", "Work:Taxes", 612_40, Income)),
    (
        20,
        (2, 6, 10),
        Event("Evening class", "Adult School", "Work:Teaching", (180_00, 420_00), Income, tags=("side job",)),
    ),
    (21, _EVERY, Event("Donation", "Animal Shelter", "Gifts:Donations", 20_00)),
    (25, _EVERY, Event("Salary", "Bluebird Studio", "Work:Salary", 5_000_00, Income)),
    (28, _EVERY, Event("Interest", "Harbour Bank", "Investments:Interest", (9_00, 14_00), Income, SAVINGS)),
)
"""What comes on a day of some months."""

ONCE: Final = (
    (255, Event("Dentist", "Dr. Osei", "Health:Dentist", 1_240_00, notes="The insurance pays half.")),
    (228, Event("Dentist: half of it", "Good Hands Mutual", "Health:Dentist", 620_00, Income)),
    (201, Event("Winter boots", "Thread & Co", "Shopping:Clothes", 74_90, account=CARD)),
    (196, Event("Refund: boots", "Thread & Co", "Shopping:Clothes", 74_90, Income, CARD, notes="Too small.")),
    (70, Event("Headphones", "Volt Electronics", "Shopping:Electronics", 189_00, account=CARD)),
    (
        61,
        Event(
            "Refund: headphones",
            "Volt Electronics",
            "Shopping:Electronics",
            189_00,
            Income,
            CARD,
            notes="One side was silent.",
        ),
    ),
    (43, Event("Rock Concert", "Arena", "Fun:Concerts", 100_00, account=CARD, tags=_FRIENDS)),
    (10, Event("pizza", "Luigi", "Food:Restaurant", 50_00, account=CARD, tags=_FRIENDS)),
)
"""What happens so many days ago."""

PENDING: Final = (
    (2, 5, Event("Hotel, on hold", "Hotel Miramar", "Travel:Hotels", 240_00, account=CARD)),
    (1, None, Event("Online order", "Page Turner Books", "Fun:Books", 64_50, account=CARD)),
    (0, None, Event("Fuel", "Roadside Fuel", "Transport:Fuel", 38_00, account=CARD)),
)
"""What is not booked yet: so many days ago, and in how many days it expires."""

HOLIDAY_MONEY: Final = (
    (HOLIDAY_BEGINS + 6, SAVINGS, MAIN_ACCOUNT, 1_000_00, 1_000_00, "For the holiday"),
    (HOLIDAY_BEGINS + 3, MAIN_ACCOUNT, TRAVEL, 1_296_00, 1_200_00, "Travel money"),
    (HOLIDAY_BEGINS - 5, MAIN_ACCOUNT, TRAVEL, 327_00, 300_00, "More travel money"),
)
"""What goes from one account to another for it: so many days ago, what goes out, and what comes in."""

ON_HOLIDAY: Final = (
    (range(1), Event("Hotel, nine nights", "Pensão Azul", "Travel:Hotels", 612_00)),
    (range(1), Event("Taxi from the airport", "Táxi", "Travel:Around", 24_00)),
    (range(HOLIDAY_DAYS), Event("Coffee and pastéis", "Pastelaria Sol", "Food:Coffee", (4_20, 9_80))),
    (range(HOLIDAY_DAYS), Event("Lunch", "Tasca do Zé", "Food:Lunch", (11_00, 19_00))),
    (range(HOLIDAY_DAYS), Event("Dinner", "Casa do Fado", "Food:Restaurant", (24_00, 46_00))),
    (range(1, HOLIDAY_DAYS, 3), Event("Museum", "Museu", "Travel:Sights", (8_00, 16_00))),
    (range(2, HOLIDAY_DAYS, 4), Event("Day ticket", "Carris", "Travel:Around", 6_80)),
    (range(9, HOLIDAY_DAYS), Event("Presents", "Feira", "Gifts", 31_50)),
)
"""What the days of the holiday bring, by their number from 0."""

_MON, _TUE, _WED, _THU, _FRI, _SAT, _SUN = range(7)
_WORKDAYS: Final = range(5)

AT_HOME: Final = (
    ((_TUE, _THU), 0.85, [Event("Groceries", payee, "Food:Groceries", (18_00, 62_00)) for payee in GROCERS]),
    (_WORKDAYS, 0.4, [Event("Coffee", payee, "Food:Coffee", (2_80, 5_60), account=CARD) for payee in CAFES]),
    (_WORKDAYS, 0.35, [Event(words, payee, "Food:Lunch", (8_50, 16_00), account=CARD) for payee, words in LUNCHES]),
    ((_SAT, _SUN), 0.3, [Event("Bread and cake", "Old Mill Bakery", "Food:Bakery", (7_00, 14_00))]),
    ((_FRI, _SAT), 0.4, [Event(words, at, "Food:Restaurant", (26_00, 64_00), account=CARD) for at, words in DINERS]),
    ((_SUN,), 0.2, [Event("Brunch", at, "Food:Coffee", (22_00, 48_00), account=CARD, tags=_FRIENDS) for at in CAFES]),
    (range(7), 0.09, [Event("Fuel", "Roadside Fuel", "Transport:Fuel", (36_00, 58_00), account=CARD)]),
    (range(7), 0.05, [Event("Ride home", "Swift Rides", "Transport:Taxi", (9_00, 24_00), account=CARD)]),
    (
        range(7), 0.09,
        [
            Event("Cinema", "Rex Cinema", "Fun:Cinema", (11_00, 28_00), account=CARD, tags=_FRIENDS),
            Event("Books", "Page Turner Books", "Fun:Books", (9_00, 42_00), account=CARD),
            Event("Swimming", "City Pool", "Health:Sport", (6_00, 9_00), account=CARD),
            Event("Board games", "Game Night", "Fun:Games", (12_00, 45_00), account=CARD),
        ],
    ),
    (
        range(6), 0.1,
        [
            Event("Pharmacy", "Corner Pharmacy", "Health:Pharmacy", (6_00, 38_00), account=CARD),
            Event("Haircut", "Clip & Comb", "Care:Hair", (24_00, 36_00)),
            Event("Clothes", "Thread & Co", "Shopping:Clothes", (25_00, 140_00), account=CARD),
            Event("Hardware", "Fix-It Hardware", "Home:Repairs", (8_00, 70_00), account=CARD),
            Event("Parcel", "Post Office", "Home:Post", (5_00, 18_00)),
            Event("Flowers", "Bloom", "Gifts", (12_00, 40_00), account=CARD),
        ],
    ),
)  # fmt: skip
"""What an ordinary day brings: on which weekdays, how likely, and one of what."""

Line = tuple[int, str, str | None]
"""A line of a receipt: its amount, its category, and words of its own where it has any."""


class Household:
    """Writes down the days of a year, one after the other."""

    def __init__(self, today: dt.date, currency: str) -> None:
        self.today = today
        self.first = today - dt.timedelta(days=DAYS - 1)
        self.currencies = {MAIN_ACCOUNT: currency, SAVINGS: currency, CARD: currency}
        self.currencies[TRAVEL] = "EUR" if currency != "EUR" else "USD"
        self.items: list[list[Transaction]] = []
        self.balances = Counter(OPENING)
        """In hundredths, by account, of what is posted."""
        self._day = self.first
        self._random = Random()
        self._made = 0

    def accounts(self) -> list[dict[str, Any]]:
        """The accounts beside the main one, by the names of AccountSchema."""
        kinds = {SAVINGS: "savings", CARD: "card", TRAVEL: "bank"}
        return [
            {"name": name, "kind": kind, "currency": self.currencies[name], **self.opening(name)}
            for name, kind in kinds.items()
        ]

    def opening(self, account: str) -> dict[str, Any]:
        """What an account begins with, where that is not nothing."""
        if account not in OPENING:
            return {}
        amount = self._units(OPENING[account], account)
        return {"opening_balance": amount, "opening_date": self.first}

    def live(self) -> list[list[Transaction]]:
        """The whole year, as what is booked together."""
        for number in range(DAYS):
            self._day = self.first + dt.timedelta(days=number)
            # A generator for each day, so that a day is the same in every year that holds it.
            self._random = Random(f"cashman {self._day}")
            self._made = 0
            days_ago = (self.today - self._day).days
            self._regularly()
            self._for_once(days_ago)
            self._with_holiday_money(days_ago)
            if 0 <= HOLIDAY_BEGINS - days_ago < HOLIDAY_DAYS:
                self._on_holiday(HOLIDAY_BEGINS - days_ago)
            else:
                self._at_home()
        return self.items

    # What happens.

    def _regularly(self) -> None:
        for day, months, event in BY_MONTH:
            if self._day.day == day and self._day.month in months:
                self._book(event)
        if self._day.day == 26:
            self._transfer(MAIN_ACCOUNT, SAVINGS, 600_00, 600_00, "For a rainy day")
        owed = -self.balances[CARD]
        if self._day.day == 27 and owed > 0:
            self._transfer(MAIN_ACCOUNT, CARD, owed, owed, "Card bill")

    def _for_once(self, days_ago: int) -> None:
        for ago, event in ONCE:
            if ago == days_ago:
                self._book(event)
        for ago, days, event in PENDING:
            if ago == days_ago:
                self._book(event, status="pending", expires_at=None if days is None else self._noon(self.today, days))

    def _with_holiday_money(self, days_ago: int) -> None:
        if days_ago == HOLIDAY_BEGINS + 45:
            flights: list[Line] = [(428_00, "Travel:Flights", None), (60_00, "Travel:Flights", "Luggage")]
            self._receipt(CARD, "Flights to Lisbon", "Atlantic Air", flights, [HOLIDAY_TAG])
        for ago, source, sink, out, into, words in HOLIDAY_MONEY:
            if ago == days_ago:
                self._transfer(source, sink, out, into, words, [HOLIDAY_TAG])
        rest = self.balances[TRAVEL] // 10_00 * 10_00
        if days_ago == HOLIDAY_BEGINS - HOLIDAY_DAYS - 4 and rest > 0:
            self._transfer(TRAVEL, MAIN_ACCOUNT, rest, rest * 107 // 100, "Travel money that was left", [HOLIDAY_TAG])

    def _on_holiday(self, day: int) -> None:
        for days, event in ON_HOLIDAY:
            if day in days:
                self._book(replace(event, account=TRAVEL, tags=(HOLIDAY_TAG,)))

    def _at_home(self) -> None:
        weekday = self._day.weekday()
        for weekdays, likely, events in AT_HOME:
            if weekday in weekdays and self._random.random() < likely:
                self._book(self._random.choice(events))
        if weekday == _SAT:
            self._weekend_shopping()

    def _weekend_shopping(self) -> None:
        """One receipt over several categories."""
        lines: list[Line] = [
            (self._between(38_00, 92_00), "Food:Groceries", None),
            (self._between(6_00, 24_00), "Home:Household", None),
        ]
        if self._random.random() < 0.35:
            lines.append((self._between(4_00, 19_00), "Care:Drugstore", "Soap and such"))
        if self._random.random() < 0.15:
            lines.append((self._between(8_00, 25_00), "Gifts", "Birthday present"))
        self._receipt(MAIN_ACCOUNT, "Weekend shopping", self._random.choice(GROCERS), lines, [])

    # How it is written down.

    def _book(self, event: Event, **more: Any) -> None:
        amount = event.amount if isinstance(event.amount, int) else self._between(*event.amount)
        more |= {"payee": event.payee, "category": event.category, "tags": [*event.tags], "notes": event.notes}
        self.items.append(
            [self._movement(event.kind, amount, event.words, account=event.account, id=self._id(), **more)]
        )

    def _receipt(self, account: str, words: str, payee: str, lines: Sequence[Line], tags: list[str]) -> None:
        group = self._id()
        shared: dict[str, Any] = {"account": account, "payee": payee, "group": group, "tags": tags}
        self.items.append(
            [
                self._movement(Expense, amount, own or words, category=category, id=member_id(group, place), **shared)
                for place, (amount, category, own) in enumerate(lines)
            ]
        )

    def _transfer(self, source: str, sink: str, out: int, into: int, words: str, tags: Sequence[str] = ()) -> None:
        group = self._id()
        self.items.append(
            [
                self._movement(
                    Transfer, amount, words, account=account, id=member_id(group, place), group=group, tags=[*tags]
                )
                for place, (account, amount) in enumerate(((source, -out), (sink, into)))
            ]
        )

    def _movement(self, kind: type[Transaction], amount: int, words: str, *, account: str, **more: Any) -> Transaction:
        if more.get("status", "posted") == "posted":
            self.balances[account] += kind.signed(amount)
        units, currency = self._units(amount, account), self.currencies[account]
        return kind(words, units, currency=currency, date=self._day, account=account, **more)

    def _units(self, hundredths: int, account: str) -> Decimal:
        """An amount in currency units; where the currency has no decimals, hundredths are its units."""
        return Decimal(hundredths) if CURRENCIES[self.currencies[account]] == 0 else Decimal(hundredths) / 100

    def _id(self) -> str:
        """A ULID that follows from the day and from how many the day has had so far."""
        self._made += 1
        hash_ = hashlib.sha256(f"cashman demo {self._day} {self._made}".encode()).digest()[:10]
        moment = self._noon(self._day) + dt.timedelta(minutes=self._made)
        return str(ULID.from_bytes(int(moment.timestamp() * 1000).to_bytes(6, "big") + hash_))

    @staticmethod
    def _noon(day: dt.date, days: int = 0) -> dt.datetime:
        return dt.datetime.combine(day + dt.timedelta(days=days), dt.time(12), dt.UTC)

    def _between(self, least: int, most: int) -> int:
        return self._random.randrange(least, most)


class LiveAYear(Change):
    """Book the year where nothing was ever done in the ledger; else leave it alone, with a receipt of no states."""

    def __init__(self, ledger: Ledger, request: Request, household: Household) -> None:
        super().__init__(ledger.id, request)
        main = household.opening(MAIN_ACCOUNT)
        self._changes: list[Change] = [
            ReplaceAccount(ledger.id, request, MAIN_ACCOUNT_ID, None, main, household.today),
            *(OpenAccount(ledger.id, request, values, household.today) for values in household.accounts()),
        ]
        self._record = Record(ledger.id, request, household.live())

    def ids(self) -> Iterable[str]:
        return self._record.ids()

    def decide(self, batch: Batch) -> Receipt:
        if batch.chain.head.sequence != ENTRIES_AT_FIRST:
            return Receipt((), batch.chain.head, batch.chart)
        with batch.all_or_nothing():
            for change in self._changes:
                change.decide(batch)
            return self._record.decide(batch)


def is_empty(ledger: Ledger) -> bool:
    """Whether nothing was ever done in a ledger: its journal opens it and its main account, and says no more."""
    head = ledger.head()
    return head is not None and head.sequence == ENTRIES_AT_FIRST


def fill(ledger: Ledger, request: Request = OWNERS_OWN) -> int:
    """Give an empty ledger a year to look at, in one commit; how many transactions that are, or 0 where it is not."""
    if not is_empty(ledger):
        return 0
    household = Household(ledger.today, ledger.chart()[0].currency)
    return len(ledger.books.submit(LiveAYear(ledger, request, household)).states)


def fill_at_start(books: Books) -> None:
    """The same for the own ledger, as CASHMAN_DEMO asks for; what was used in any way is left alone."""
    made = fill(books.own_ledger(), Request(SYSTEM))
    if made:
        log.warning(
            "The ledger was empty, and has a made-up year to look at now: %d transactions (CASHMAN_DEMO).", made
        )
    else:
        log.info("The ledger has been used: CASHMAN_DEMO leaves it alone.")
