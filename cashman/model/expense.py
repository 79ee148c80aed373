"""Expense: money that goes out."""

from typing import Any

from marshmallow import post_load

from cashman.model.transaction import OneTypeFields, Transaction
from cashman.model.transaction_type import TransactionType


class Expense(Transaction):
    """Money that goes out; its amount is forced negative, however it is written."""

    __mapper_args__ = {"polymorphic_identity": TransactionType.EXPENSE}

    @classmethod
    def signed(cls, minor_units: int) -> int:
        return -abs(minor_units)


class ExpenseSchema(OneTypeFields):
    """An expense on the wire."""

    model = Expense

    @post_load
    def make_expense(self, data: dict[str, Any], **_: Any) -> Transaction | list[Transaction]:
        return self.make(data)
