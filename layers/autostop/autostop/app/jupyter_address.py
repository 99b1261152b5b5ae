"""How its owner gets to the JupyterLab of a workstation. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from autostop.idle.reading import Reading, Server, Unknown
from autostop.model import Instance, InstanceState
from autostop.settings import Policy


class Reach(StrEnum):
    """From where a browser opens it. That the network lets this one in is another matter."""

    OPEN = "open"
    # Its address is of a network of its own.
    PRIVATE = "private"
    # By a tunnel alone: without TLS, every network on the way would read the token, and write along.
    PLAIN = "plain"
    # By a tunnel alone: it listens only to the machine itself.
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Lab:
    """Where JupyterLab answers. url: at this end of the tunnel where it takes one."""

    url: str
    port: int
    reach: Reach

    @property
    def direct(self) -> str | None:
        """The address that opens without a tunnel."""
        return self.url if self.reach in (Reach.OPEN, Reach.PRIVATE) else None


def lab_of(answers: Iterable[Reading | Unknown | None], instance: Instance | None, policy: Policy) -> Lab | None:
    """Where Jupyter answered since the launch; None where it did not, or only on a socket without a port.

    answers: the newest first.
    """
    if instance is None or instance.state is not InstanceState.RUNNING or instance.address is None:
        return None
    for answer in answers:
        if isinstance(answer, Reading) and answer.servers and answer.at >= instance.launched_at:
            # Another user may have a server, too: the port that was set, and whoever was there first, go before.
            servers = [each for each in answer.servers if each.port]
            first = min(servers, key=lambda each: (each.port != policy.jupyter_port, each.uid, each.port), default=None)
            return None if first is None else _lab(first, instance, instance.address)
    return None


def _lab(server: Server, instance: Instance, address: str) -> Lab:
    # The cloud on a desk has its machines at the desk's own address.
    if server.local and not address.startswith("127."):
        reach = Reach.LOCAL
    elif not server.secure:
        reach = Reach.PLAIN
    else:
        reach = Reach.OPEN if instance.public else Reach.PRIVATE
    host = address if reach in (Reach.OPEN, Reach.PRIVATE) else "localhost"
    return Lab(f"http{'s' * server.secure}://{host}:{server.port}{server.base}lab", server.port, reach)
