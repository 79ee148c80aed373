"""Cashman: a marshmallow-typed finance ledger service."""

__version__ = "1.0.0"
