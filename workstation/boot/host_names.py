"""By what names and addresses this start of the machine is reached."""

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass

_PUBLIC = ("public-ipv4", "ipv6")
KEYS = ("public-ipv4", "local-ipv4", "ipv6", "public-hostname")  # of the metadata service


@dataclass(frozen=True, slots=True)
class Names:
    """public: its address in the internet; None when it has none, or nobody could tell.

    address: where a person reaches it, the public one if there is one. every: all names and addresses, that one first;
    addresses as ipaddress writes them.
    """

    public: str | None
    address: str | None
    every: tuple[str, ...]


def names(told: Mapping[str, str]) -> Names:
    """Of this start. told: what the metadata service does, by key."""
    spelled = {key: _spelled(told[key]) for key in KEYS if key in told}
    public = next((spelled[key] for key in _PUBLIC if key in spelled), None)
    address = next((name for name in spelled.values() if is_address(name)), None)
    every = dict.fromkeys([*spelled.values(), socket.gethostname().lower(), "localhost", "127.0.0.1", "::1"])
    return Names(public, address, tuple(every))


def _spelled(name: str) -> str:
    return str(ipaddress.ip_address(name)) if is_address(name) else name.lower()


def is_address(name: str) -> bool:
    """Whether it is an IPv4 or an IPv6 address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
