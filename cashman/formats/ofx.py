"""ofx."""

from typing import Final

NAME: Final = "ofx"
MEDIA_TYPE: Final = "application/x-ofx"
SUFFIXES: Final = (".ofx",)
