"""camt053."""

from typing import Final

NAME: Final = "camt053"
MEDIA_TYPE: Final = "application/xml"
SUFFIXES: Final = (".xml",)
