"""Peers' rules as they document them, as pure functions of the same minutes.

Each gets what its program would see at a minute since the last launch, and says whether it would stop the machine now.
All have the same window. Where a document leaves something open, the reading that is kinder to the peer is taken, and
its docstring says so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from tests.traces.trace import Document, Point

_ALARM_PERCENT: Final = 5.0
# More periods than it evaluates are fetched when points are missing; how many more is not documented.
_MORE_PERIODS: Final = 3


@dataclass(frozen=True, slots=True)
class Seen:
    """What can be seen at a minute. window: in minutes. documents: what Jupyter and `/proc` would tell, by the minute
    since the launch, now last. points: CloudWatch's that are visible, those from before the launch too.
    """

    minute: int
    window: int
    vcpus: int
    period: int
    documents: Sequence[Document]
    points: Sequence[Point]

    @property
    def now(self) -> Document:
        return self.documents[-1]

    def age(self, stamp: float) -> float:
        """How many minutes ago, by the machine's own clock."""
        return float(self.now["at"] - stamp) / 60


Rule: TypeAlias = Callable[[Seen], bool]


def cpu_alarm(seen: Seen) -> bool:
    """A CloudWatch alarm on CPUUtilization below 5 % for the window, with the EC2 stop action.

    A percentage of all vCPUs. Missing points are treated as `missing`, as AWS advises for alarms that stop instances:
    nothing is concluded from them, and more periods are fetched in their place. An alarm knows no launches.
    Kinder: it needs as many real points as it evaluates, where CloudWatch may alarm on fewer.
    Source: Amazon CloudWatch User Guide, "Configuring how CloudWatch alarms treat missing data" and "Create alarms to
    stop, terminate, reboot, or recover an EC2 instance".
    """
    step = seen.period // 60
    needed = max(1, seen.window // step)
    newest = [point for point in seen.points if point.minute >= seen.minute - (needed + _MORE_PERIODS) * step]
    evaluated = newest[-needed:]
    return len(evaluated) == needed and all(
        100 * point.cores / seen.vcpus < _ALARM_PERCENT for point in evaluated
    )  # fmt: skip


def sagemaker_autostop(seen: Seen) -> bool:
    """`autostop.py` of SageMaker's notebook instances, by cron every 5 minutes, with `--ignore-connections`.

    Idle when every kernel says `idle` with an older last_activity than the window; without a session the time since the
    start counts. Terminals: idle as soon as one of them is. A refused or broken answer ends it with an exception.
    Kinder: it reads one port, here every server; it crashes on a server that hangs, here it stays up.
    Source: aws-samples/amazon-sagemaker-notebook-instance-lifecycle-config-samples, scripts/auto-stop-idle, the script
    itself and the call in its on-start.sh.
    """
    if seen.minute % 5:
        return False
    servers = seen.now["servers"]
    if any(server["status"] != "ok" for server in servers):
        return False
    for server in servers:
        if server["busy"] or server["starting"] or server["other"]:
            return False
        if server["idle"] and seen.age(server["kernel_at"]) <= seen.window:
            return False
        if server["terminals"] and seen.age(server["terminal_at"]) <= seen.window:
            return False
    sessions = any(server["idle"] for server in servers)
    return sessions or len(seen.documents) > seen.window


def jupyterhub_idle_culler(seen: Seen) -> bool:
    """jupyterhub-idle-culler: the server's last_activity is older than the window.

    last_activity is the newest of the API's, the kernels', the terminals', and of the traffic that the hub's proxy saw:
    an open websocket is pinged every 30 seconds. It looks every half window (`--cull-every`). `cull_connected` and
    `cull_busy` keep their default: they belong to kernels, and end no server.
    Kinder: a server that answers nobody is still there for the hub, so it is not stopped.
    Source: README of jupyterhub/jupyterhub-idle-culler, "How it works" and "Caveats".
    """
    if seen.minute % max(1, seen.window // 2):
        return False
    servers = seen.now["servers"]
    if any(server["status"] != "ok" or server["connections"] for server in servers):
        return False
    stamps = [
        server[key]
        for server in servers
        for key in ("server_at", "kernel_at", "terminal_at")
        if server[key] is not None
    ]
    if stamps:
        return seen.age(max(stamps)) > seen.window
    # Nothing was ever used: the start counts.
    return len(seen.documents) > seen.window


def skypilot_jobs_and_ssh(seen: Seen) -> bool:
    """SkyPilot's autostop with `wait_for: jobs_and_ssh`, the default: no job and no SSH session for the window.

    Kinder: a job is one of its own queue; here every program on a terminal counts as one.
    Source: docs.skypilot.co, "Autostop and Autodown".
    """
    return _never_within(seen, lambda _, machine: bool(machine["logins"] or machine["jobs"]))


def coder_connections(seen: Seen) -> bool:
    """Coder's autostop by activity bump alone: no open session of SSH, an editor or its web terminal for the window.

    It counts connections: no keystroke, no processor, no background job; a Jupyter tab does not extend the deadline.
    Source: coder/coder, docs/user-guides/workspace-scheduling.md, "Activity detection" and "Rely solely on activity
    detection".
    """
    return _never_within(seen, lambda _, machine: bool(machine["logins"]))


def ona_environment_timeout(seen: Seen) -> bool:
    """Ona (once Gitpod): no plain SSH session, nobody's hands on an editor, no task of its agent for the window.

    The connection that VS Code opens for itself is no session; processes, processor, files and ports count for nothing.
    Kinder: a save stands for hands on an editor, any agent that writes for its own, our lock for its `keep-alive`.
    Source: ona.com/docs, "Environment timeout", "When is an environment idle?".
    """
    return _never_within(
        seen,
        lambda document, machine: bool(
            machine["logins"] > machine["editors"]
            or machine["held"]
            or _just(document, machine["edited_at"])
            or _just(document, machine.get("wrote_at"))
        ),
    )


def daytona_auto_stop(seen: Seen) -> bool:
    """Daytona: no request to a preview, no SSH connection, no call of its API for the window; processes do not count.

    Kinder: whatever a Jupyter server is asked is a request to a preview.
    Source: daytonaio/daytona, docs/en/sandboxes.mdx, "What resets the timer" and "What does not reset the timer".
    """
    return _never_within(seen, lambda document, machine: bool(machine["logins"] or _asked(document)))


def harness_autostopping(seen: Seen) -> bool:
    """Harness AutoStopping: its load balancer or proxy saw no traffic for the window.

    Kinder: over SSH a key and what answers it are traffic, and the packets that keep a connection alive are none.
    Source: developer.harness.io, "AutoStopping Rules" and "AWS Auto Stopping", "Ingress Based".
    """
    return _never_within(
        seen,
        lambda document, machine: bool(
            _asked(document)
            or (
                machine["logins"] and (_just(document, machine["typed_at"]) or _just(document, machine.get("wrote_at")))
            )
        ),
    )


def fly_sprites(seen: Seen) -> bool:
    """Fly's Sprites: no command of `exec` or `console`, no connection to its URL, no task that holds it.

    Kinder: they sleep 30 seconds later, here after the same window as all; a login is a console, our lock a task.
    Source: docs.sprites.dev, "Lifecycle and Persistence" and "Keeping a Sprite Running".
    """
    return _never_within(seen, lambda document, machine: bool(machine["logins"] or machine["held"] or _asked(document)))


def _never_within(seen: Seen, in_use: Callable[[Document, Document], bool]) -> bool:
    lately = seen.documents[-seen.window - 1 :]
    if len(lately) <= seen.window:
        return False
    return not any(document["machine"] is not None and in_use(document, document["machine"]) for document in lately)


def _asked(document: Document) -> bool:
    """Whether somebody is connected to a Jupyter server, or asked it something in this minute."""
    return any(
        server["status"] == "ok" and (server["connections"] or _just(document, server["server_at"]))
        for server in document["servers"]
    )


def _just(document: Document, stamp: float | None) -> bool:
    return stamp is not None and document["at"] - stamp < 60


PEERS: Final[Mapping[str, Rule]] = {
    "CloudWatch alarm, CPU below 5 %": cpu_alarm,
    "SageMaker autostop.py": sagemaker_autostop,
    "jupyterhub-idle-culler": jupyterhub_idle_culler,
    "SkyPilot jobs_and_ssh": skypilot_jobs_and_ssh,
    "Coder, open connections": coder_connections,
    "Ona, environment timeout": ona_environment_timeout,
    "Daytona auto-stop": daytona_auto_stop,
    "Harness, traffic alone": harness_autostopping,
    "Fly Sprites": fly_sprites,
}
