"""Tell a laptop that reconnects, and so moves every kernel, from a person who uses one. Pure."""

from datetime import timedelta
from typing import Final

from autostop.idle.history import History
from autostop.idle.reading import Reading, Server

# A connection is gone two minutes after its laptop fell asleep; of one that wakes every few, some answer has none.
_STAYS_CONNECTED: Final = timedelta(minutes=10)
_TAB_IS_OPEN: Final = timedelta(seconds=60)
# A laptop that wakes in the night reconnects, and each time all kernels look as if they had just been used.
RECONNECTS_BELIEVED: Final = 2


def only_reconnected(history: History) -> bool:
    """True when what moved the kernels was so often a reconnect that it is no sign of a person any more."""
    return history.reconnects > RECONNECTS_BELIEVED


def is_reconnect(history: History, reading: Reading, polled: bool) -> bool:
    """Whether what moved the kernels looks like a browser on a laptop that woke for a minute, with nobody there."""
    # A cell that came to its end moves its kernel too.
    if history.busy_at == history.at:
        return False
    # Who stayed connected did not reconnect.
    since = history.connected_since
    if since is not None and reading.at - since >= _STAYS_CONNECTED and is_connected(reading):
        return False
    # Who works moves them again and again; a laptop wakes, and sleeps for longer than from one answer to the next.
    if history.moved:
        return False
    # A tab that asks its server all the time is on a laptop that is awake: who sits there may well have moved them.
    if polled and history.polled:
        return False
    return all(server.together for server in reading.servers if server.connections)


def is_polled(server: Server, reading: Reading) -> bool:
    """Whether a visible tab was open: it asks its server something every ten seconds."""
    at = server.server_active_at
    return at is not None and reading.at - at < _TAB_IS_OPEN


def is_connected(reading: Reading) -> bool:
    """Whether anybody is connected to a kernel."""
    return any(server.connections for server in reading.servers)
