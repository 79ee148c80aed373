"""Pages that were encoded before, for whoever asks for the same again while the books have not changed."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import NamedTuple


class EncodedPage(NamedTuple):
    """A page as it is sent."""

    body: bytes
    link: str | None
    """The value of its Link header."""


class Pages:
    """The pages asked for last, so many bytes of them at most."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._bytes = 0
        self._pages: OrderedDict[Hashable, EncodedPage] = OrderedDict()

    def get(self, key: Hashable) -> EncodedPage | None:
        """The page that was put here under a key, if it still is."""
        page = self._pages.get(key)
        if page is not None:
            self._pages.move_to_end(key)
        return page

    def put(self, key: Hashable, page: EncodedPage) -> None:
        """Keep a page, and as few others as need be less."""
        before = self._pages.pop(key, None)
        self._bytes += len(page.body) - (len(before.body) if before is not None else 0)
        self._pages[key] = page
        while self._bytes > self.bytes_max:
            _, oldest = self._pages.popitem(last=False)
            self._bytes -= len(oldest.body)
