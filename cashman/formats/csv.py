"""csv."""

from typing import Final

NAME: Final = "csv"
MEDIA_TYPE: Final = "text/csv"
SUFFIXES: Final = (".csv",)
