"""qif."""

from typing import Final

NAME: Final = "qif"
MEDIA_TYPE: Final = "application/x-qif"
SUFFIXES: Final = (".qif",)
