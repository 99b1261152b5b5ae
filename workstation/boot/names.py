"""By what names and addresses this start of the machine is reached."""

import http.client
import ipaddress
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_KEYS = ("public-ipv4", "local-ipv4", "ipv6", "public-hostname")
_WITHIN = 1.0  # seconds for an answer, which comes from the host of the machine itself


@dataclass(frozen=True, slots=True)
class Names:
    """address: where a person reaches it, the public one if there is one; None when nobody could tell.

    every: all names and addresses, that one first; addresses as ipaddress writes them.
    """

    address: str | None
    every: tuple[str, ...]


def names(metadata: str, wait_for: float) -> Names:
    """Of this start. metadata: host and port of EC2's metadata service; what it does not tell is left out.

    wait_for: seconds that the network may take to come up.
    """
    told = [_spelled(name) for name in _tell(metadata, _KEYS, time.monotonic() + wait_for) if name]
    addresses = [name for name in told if is_address(name)]
    every = dict.fromkeys([*told, socket.gethostname().lower(), "localhost", "127.0.0.1", "::1"])
    return Names(addresses[0] if addresses else None, tuple(every))


def _tell(metadata: str, keys: Sequence[str], until: float) -> list[str]:
    """Empty for a key that the machine does not have; nothing at all when the service does not answer."""
    while True:
        connection = http.client.HTTPConnection(metadata, timeout=_WITHIN)
        try:
            lives = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
            token = _answer(connection, "PUT", "/latest/api/token", lives)
            return [
                _answer(connection, "GET", f"/latest/meta-data/{key}", {"X-aws-ec2-metadata-token": token})
                for key in keys
            ]
        except (OSError, http.client.HTTPException):
            if time.monotonic() >= until:
                return []
            time.sleep(0.5)
        finally:
            connection.close()


def _answer(connection: http.client.HTTPConnection, method: str, path: str, headers: Mapping[str, str]) -> str:
    connection.request(method, path, headers=dict(headers))
    answer = connection.getresponse()
    content = answer.read().decode("ascii", "replace").strip()
    if answer.status == http.client.NOT_FOUND:
        return ""
    if answer.status != http.client.OK:
        raise http.client.HTTPException(f"{path}: {answer.status}")
    return content


def _spelled(name: str) -> str:
    return str(ipaddress.ip_address(name)) if is_address(name) else name.lower()


def is_address(name: str) -> bool:
    """Whether it is an IPv4 or an IPv6 address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
