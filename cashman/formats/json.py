"""json."""

from typing import Final

NAME: Final = "json"
MEDIA_TYPE: Final = "application/json"
SUFFIXES: Final = (".json",)
