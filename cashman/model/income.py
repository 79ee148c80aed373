"""Income: money that comes in."""

from typing import Any

from marshmallow import post_load

from cashman.model.money import AmountError
from cashman.model.transaction import OneTypeFields, Transaction
from cashman.model.transaction_type import TransactionType


class Income(Transaction):
    """Money that comes in; its amount is positive."""

    __mapper_args__ = {"polymorphic_identity": TransactionType.INCOME}

    @classmethod
    def signed(cls, minor_units: int) -> int:
        if minor_units < 0:
            raise AmountError("An income is positive.")
        return minor_units


class IncomeSchema(OneTypeFields):
    """An income on the wire."""

    model = Income

    @post_load
    def make_income(self, data: dict[str, Any], **_: Any) -> Transaction | list[Transaction]:
        return self.make(data)
