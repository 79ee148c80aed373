"""The kinds of transaction."""

from enum import Enum


class TransactionType(Enum):
    """What a transaction is; the value is what the wire and the table hold."""

    INCOME = "INCOME"
    EXPENSE = "EXPENSE"
    TRANSFER = "TRANSFER"
