"""beancount."""

from typing import Final

NAME: Final = "beancount"
MEDIA_TYPE: Final = "text/x-beancount"
SUFFIXES: Final = (".beancount",)
