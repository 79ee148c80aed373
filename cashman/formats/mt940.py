"""mt940."""

from typing import Final

NAME: Final = "mt940"
MEDIA_TYPE: Final = "text/plain"
SUFFIXES: Final = (".sta",)
