"""ndjson."""

from typing import Final

NAME: Final = "ndjson"
MEDIA_TYPE: Final = "application/x-ndjson"
SUFFIXES: Final = (".ndjson",)
