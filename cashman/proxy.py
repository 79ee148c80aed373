"""What a reverse proxy tells of a request, believed only where the proxy's own address is a trusted one."""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

PROXIED: Final = "cashman.proxied"
"""True in the environment of each request that a trusted proxy handed on, whatever the proxy told of it."""

HOPS_MAX: Final = 32
"""No chain of proxies is longer; what stands further left in X-Forwarded-For is not read."""

ENTRY_CHARACTERS_MAX: Final = 64
"""The longest entry that can be an address, with brackets, a port and blanks; what is longer is not kept, either."""

_ADDRESSES_KEPT: Final = 1024

# An address as proxies write it: bare, with a port, or in brackets. Which numbers make one, ipaddress decides.
_FORWARDED: Final = re.compile(
    r"\[(?P<bracketed>[0-9a-f:.]+)\](?::[0-9]{1,5})?|(?P<with_port>[0-9.]+):[0-9]{1,5}|(?P<bare>[0-9a-f:.]+)",
    re.ASCII | re.IGNORECASE,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class BehindProxy:
    """A WSGI app behind proxies: for a request of a trusted address, the client's address and scheme are the told ones.

    From any other address the headers change nothing. They stay in the environment in either case, so that what is
    meant for this machine alone can refuse whatever was handed on.
    """

    def __init__(self, app: "WSGIApplication", trusted: Sequence[str]) -> None:
        self._app = app
        self._networks = [_network(text) for text in trusted]
        self._peer = lru_cache(_ADDRESSES_KEPT)(self._look_up)
        self._told = lru_cache(_ADDRESSES_KEPT)(self._look_up_told)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        """Serve a request as the one that the client made."""
        address, trusted = self._peer(environ.get("REMOTE_ADDR", ""))
        if trusted:
            environ[PROXIED] = True
            address = self._client(address, environ.get("HTTP_X_FORWARDED_FOR", ""))
            # Of several values only the last is the trusted proxy's own.
            scheme = environ.get("HTTP_X_FORWARDED_PROTO", "").rpartition(",")[2].strip(" \t").lower()
            if scheme in ("http", "https"):
                environ["wsgi.url_scheme"] = scheme
        environ["REMOTE_ADDR"] = address
        return self._app(environ, start_response)

    def _client(self, peer: str, forwarded_for: str) -> str:
        """The nearest address that is not trusted: each trusted one is believed about who it was asked by.

        What is no address is believed no further than to the proxy that told of it.
        """
        nearest = peer
        for text in reversed(forwarded_for.rsplit(",", HOPS_MAX)):
            address, trusted = self._told(text) if len(text) <= ENTRY_CHARACTERS_MAX else (None, False)
            if address is not None:
                nearest = address
            if not trusted:
                break
        return nearest

    def _look_up(self, text: str) -> tuple[str, bool]:
        """The address of a peer as it counts, and whether it is trusted; a peer without an address never is."""
        try:
            address = _unmapped(ip_address(text))
        except ValueError:
            return text, False
        return str(address), self._is_trusted(address)

    def _look_up_told(self, text: str) -> tuple[str | None, bool]:
        """The same of an entry of X-Forwarded-For; None where it names no address."""
        address = _forwarded(text.strip(" \t"))
        return (None, False) if address is None else (str(address), self._is_trusted(address))

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _network(text: str) -> Network:
    """A network as it counts: one of IPv4-mapped addresses is that of their IPv4."""
    network = ip_network(text)
    if isinstance(network, IPv6Network):
        mapped = network.network_address.ipv4_mapped
        if mapped is not None and network.prefixlen >= 96:
            return IPv4Network((mapped, network.prefixlen - 96))
    return network


def _unmapped(address: Address) -> Address:
    """An address as it counts: a socket for both versions shows an IPv4 as `::ffff:192.0.2.1`."""
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _forwarded(text: str) -> Address | None:
    """The address that an entry of X-Forwarded-For names; None where it names none."""
    parts = _FORWARDED.fullmatch(text)
    if parts is None:
        return None
    try:
        address = ip_address(parts["bracketed"] or parts["with_port"] or parts["bare"])
    except ValueError:
        return None
    if parts["bracketed"] and isinstance(address, IPv4Address):
        return None
    return _unmapped(address)
