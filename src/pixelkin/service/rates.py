"""How often one client may ask: a token bucket each, kept as one moment in time."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network

MINUTE = 60.0  # seconds
SITE_BITS = 64  # of an IPv6 address: beneath them one client has all
FEW = 1024  # clients that are kept without looking who is to be forgotten


class Rates:
    """A bucket a client that holds a minute's worth of tokens and fills up evenly.

    A bucket is the moment at which it will be full again; one that is full is forgotten.

    Args:
        per_minute: tokens; over 0.
        clock: seconds that never go back.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._of_one, self._clock = MINUTE / per_minute, clock
        self._full_at: dict[str, float] = {}
        self._many = FEW

    def wait(self, client: str) -> float:
        """Seconds until the client's bucket has a token; 0 if it has one."""
        missing = max(0.0, self._full_at.get(client, 0.0) - self._clock())
        return max(0.0, missing + self._of_one - max(MINUTE, self._of_one))

    def take(self, client: str, tokens: int = 1) -> None:
        """Take tokens; more than there are, the client waits the longer for its next."""
        now = self._clock()
        self._full_at[client] = max(now, self._full_at.get(client, now)) + tokens * self._of_one
        if len(self._full_at) > self._many:
            self._full_at = {each: at for each, at in self._full_at.items() if at > now}
            self._many = max(FEW, 2 * len(self._full_at))


def client_of(host: str) -> str:
    """Whom an address stands for: itself; of IPv6, all that its site can give itself."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ip_network((address, SITE_BITS), strict=False))
