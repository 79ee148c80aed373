"""hledger."""

from typing import Final

NAME: Final = "hledger"
MEDIA_TYPE: Final = "text/x-hledger"
SUFFIXES: Final = (".journal",)
