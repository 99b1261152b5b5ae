"""A configuration of Jupyter's, by which the ports of its kernels are held from the moment that they are chosen.

jupyter_client finds a free port, lets it go, and has the kernel bind it a second later. Meanwhile any process of this
machine may get it, and each restart asks for the same one again (jupyter_client, issue 487). On Linux two sockets may
have one port while both say SO_REUSEADDR, as libzmq's do, and neither listens.
"""

import socket
from typing import Any

from jupyter_client.connect import LocalPortCache


class HeldPorts(LocalPortCache):
    """What the server asks for ports, once this one is its instance."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._held: list[socket.socket] = []

    def find_available_port(self, ip: str) -> int:
        """A free one, for as long as this process lives."""
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((ip, 0))
        self._held.append(held)
        return int(held.getsockname()[1])


HeldPorts.instance()
