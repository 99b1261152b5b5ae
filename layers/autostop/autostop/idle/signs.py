"""What each sign of work says, taken by itself.

Pure. A strong sign ends the quiet; a weak one (an open tab, a connection, an editor's server) is there with nobody
present too, and only lengthens the window. What was not seen is told as such, and never as quiet.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from autostop.idle.activity import ANSWER_VALID_FOR, METRIC_DELAY, Activity
from autostop.idle.history import CPU_SECONDS_A_MINUTE, is_polled, signs_of_a_person
from autostop.idle.reading import GPU_UNREAD, Machine, Reading, Unread
from autostop.settings import Policy, words

# Points come once a period; a longer distance between two of them means that one is missing.
_GAP_PERIODS: Final = 1.5


@dataclass(frozen=True, slots=True)
class Sign:
    """One sign: seen quiet from `quiet_since` to `seen_until`; None for `quiet_since` when it cannot be read.

    reason: in a sentence. value, threshold: for the table. busy: it shows work at this moment. weak: it is there
    without anybody being present; quiet_since and busy say nothing then.
    """

    name: str
    reason: str
    value: str
    threshold: str
    quiet_since: datetime | None
    seen_until: datetime
    busy: bool = False
    weak: bool = False


def signs(activity: Activity, policy: Policy, now: datetime) -> tuple[Sign, ...]:
    """All signs, the processor first. Those that the owner switched off are left out."""
    found = [_processor(activity, policy, now)]
    if activity.network is not None and policy.network_rate is not None:
        found.append(_network(activity, policy.network_rate, policy, now))
    if activity.answer is not None:
        found += _answered(activity.answer, activity, policy, now)
    return tuple(found)


# --- CloudWatch's points ---------------------------------------------------------------------------------------------


def _processor(activity: Activity, policy: Policy, now: datetime) -> Sign:
    points = [(sample.at, sample.cores) for sample in activity.processor]
    return _Meter("processor", "cores", "cores in use", policy.cpu_cores, 2).read(points, activity, policy, now)


def _network(activity: Activity, rate: float, policy: Policy, now: datetime) -> Sign:
    points = [(sample.at, sample.bytes_per_second / 1000) for sample in activity.network or ()]
    return _Meter("network", "kB/s", "kB/s moved", rate / 1000, 0).read(points, activity, policy, now)


@dataclass(frozen=True, slots=True)
class _Meter:
    """A metric with a threshold: quiet since the end of the last busy period, as far back as its points have no gap."""

    name: str
    unit: str
    doing: str
    threshold: float
    decimals: int

    def read(self, points: Sequence[tuple[datetime, float]], activity: Activity, policy: Policy, now: datetime) -> Sign:
        # A period that is not over yet may still become anything, unless it shows work already.
        points = [
            (at, level)
            for at, level in points
            if at >= activity.launched_at and (at + policy.cpu_period <= now or level > self.threshold)
        ]
        if not points:
            return self._sign("CloudWatch has no data since the start", "no data", None, now)
        newest, level = points[-1]
        seen_until = newest + policy.cpu_period
        value = f"{level:.{self.decimals}f} {self.unit}"
        if now - seen_until > policy.cpu_period + METRIC_DELAY:
            return self._sign(f"CloudWatch has no data since {seen_until:%H:%M} UTC", "no data", None, now)
        if level > self.threshold:
            said = f"{level:.{self.decimals}f} {self.doing}, more than {self.threshold:g}"
            return self._sign(said, value, None, seen_until, busy=True)
        quiet_since = newest
        for at, earlier in reversed(points[:-1]):
            if earlier > self.threshold:
                said = f"last above {self.threshold:g} {self.unit} at {quiet_since:%H:%M} UTC"
                return self._sign(said, value, quiet_since, seen_until)
            if quiet_since - at > policy.cpu_period * _GAP_PERIODS:
                break
            quiet_since = at
        # Quiet back to the first point of a gapless run: known only if nothing of the window lies before it. The
        # period in which the launch lies is not counted, so the first point may begin up to a period after it.
        window = policy.idle_after or timedelta(0)
        window_from = max(activity.begins_at + policy.grace, now - window)
        if quiet_since > window_from + policy.cpu_period and seen_until - quiet_since < window:
            return self._sign(f"CloudWatch has a gap before {quiet_since:%H:%M} UTC", value, None, now)
        said = f"at most {self.threshold:g} {self.unit} since {quiet_since:%H:%M} UTC"
        return self._sign(said, value, quiet_since, seen_until)

    def _sign(
        self, said: str, value: str, quiet_since: datetime | None, seen_until: datetime, *, busy: bool = False
    ) -> Sign:
        threshold = f"{self.threshold:g} {self.unit}"
        return Sign(self.name, f"{self.name}: {said}", value, threshold, quiet_since, seen_until, busy)


# --- the workstation's own answer ------------------------------------------------------------------------------------


def _answered(answer: Reading | Unread, activity: Activity, policy: Policy, now: datetime) -> Iterator[Sign]:
    if isinstance(answer, Unread):
        yield Sign("answer", f"asked: {answer.reason}", "no answer", "", None, now)
        return
    if answer.at < activity.launched_at or now - answer.at > ANSWER_VALID_FOR:
        yield Sign("answer", f"asked: the last answer is from {answer.at:%H:%M} UTC", "too old", "", None, now)
        return
    # Whoever does not want GPUs to count need not mend one that cannot be read.
    unimportant = {GPU_UNREAD} if policy.gpu_percent is None else set()
    for what in answer.missing:
        if what in unimportant:
            continue
        yield Sign("answer", f"asked: {what}", "in part", "", None, answer.at)
    yield _kernels(answer, activity, policy)
    yield from _person(answer, activity)
    if answer.machine is not None:
        yield from _machine_at_work(answer, answer.machine, activity, policy)
    else:
        yield from _terminals_alone(answer, activity)
    yield from _weak(answer, answer.machine, policy)


def _kernels(answer: Reading, activity: Activity, policy: Policy) -> Sign:
    """Busy kernels are work; otherwise the newest use ends the quiet before it."""
    busy = sum(server.busy for server in answer.servers)
    count = sum(server.busy + server.idle + server.starting + server.other for server in answer.servers)
    value = f"{busy} of {count} busy" if count else "none"
    # A silent cell moves no moment, so a busy kernel counts by itself. A kernel that is `starting` for ever (nobody
    # ever connected, or it crashed) is not work.
    if busy and not _forgotten(_newest(server.busy_active_at for server in answer.servers), answer, activity, policy):
        reason = f"Jupyter: {busy} busy kernel{'s' if busy > 1 else ''}"
        return Sign("kernels", reason, value, "none busy", None, answer.at, busy=True)
    trail = activity.trail
    used = [server.kernel_active_at for server in answer.servers]
    polled_since = trail.steady_since if trail is not None else None
    if trail is not None and (trail.only_reconnected or _forgotten(polled_since, answer, activity, policy)):
        used = []
    last = _newest([*used, trail.busy_at if trail is not None and not busy else None])
    if last is None:
        reason = "Jupyter: no kernel was used"
        return Sign("kernels", reason, value, "none busy", activity.launched_at, answer.at)
    since = max(last, activity.launched_at)
    return Sign("kernels", f"Jupyter: last used at {since:%H:%M} UTC", value, "none busy", since, answer.at)


def _forgotten(since: datetime | None, answer: Reading, activity: Activity, policy: Policy) -> bool:
    """True for what the owner wants ignored after so long: it has said nothing since, and nothing computes."""
    limit = policy.ignore_kernels_older_than
    if limit is None or since is None or answer.at - since <= limit:
        return False
    trail = activity.trail
    computed = [at for at in (trail.cpu_at, trail.gpu_at) if at is not None] if trail is not None else []
    return all(answer.at - at > limit for at in computed)


def _person(answer: Reading, activity: Activity) -> Iterator[Sign]:
    """Keystrokes in terminals, and files that were saved: typing without running anything moves nothing else."""
    machine = answer.machine
    if machine is not None:
        yield _last("keyboard", "a key was last pressed in a terminal", machine.typed_at, answer, activity)
    saved = _newest(signs_of_a_person(answer, None) + ([machine.edited_at] if machine is not None else []))
    yield _last("files", "a notebook or file was last saved", saved, answer, activity)


def _last(name: str, what: str, at: datetime | None, answer: Reading, activity: Activity) -> Sign:
    if at is None or at <= activity.launched_at:
        return Sign(name, f"{name}: nothing since the start", "nothing", "", activity.launched_at, answer.at)
    return Sign(name, f"{name}: {what} at {at:%H:%M} UTC", f"at {at:%H:%M} UTC", "", at, answer.at)


def _machine_at_work(answer: Reading, machine: Machine, activity: Activity, policy: Policy) -> Iterator[Sign]:
    """What computes, runs or is held on the machine, by the trail of its answers."""
    trail, at = activity.trail, answer.at
    rate = trail.cpu_rate if trail is not None else None
    limit = f"{CPU_SECONDS_A_MINUTE:g} CPU s/min"
    value = "not known yet" if rate is None else f"{rate:.2f} CPU s/min"
    what = "work under Jupyter, logins and tmux"
    yield _seen("work", f"{what}: {value}", value, limit, trail.cpu_at if trail else None, answer, activity)
    job = f"{machine.jobs} ({machine.job})" if machine.job else str(machine.jobs)
    job_at = trail.job_at if trail is not None else at if machine.jobs else None
    if machine.jobs and _forgotten(trail.job_since if trail is not None else None, answer, activity, policy):
        job_at = None
    yield _seen("jobs", f"jobs in terminals: {job}", job, "none", job_at, answer, activity)
    if machine.gpu_percent is not None and policy.gpu_percent is not None:
        busy_at = trail.gpu_at if trail is not None else at if machine.gpu_percent > policy.gpu_percent else None
        value = f"{machine.gpu_percent:.0f} %"
        yield _seen("GPU", f"GPU: {value} in use", value, f"{policy.gpu_percent:g} %", busy_at, answer, activity)
    held_at = trail.held_at if trail is not None else at if machine.held else None
    held = "held" if machine.held else "free"
    reason = "a program holds the keep-awake lock" if machine.held else "the keep-awake lock is free"
    yield _seen("lock", reason, held, "free", held_at, answer, activity)


def _seen(
    name: str, reason: str, value: str, threshold: str, last: datetime | None, answer: Reading, activity: Activity
) -> Sign:
    """A sign that leaves no moment behind: at work if the newest answer showed it, else quiet since it last did."""
    if last is not None and last >= answer.at:
        return Sign(name, reason, value, threshold, None, answer.at, busy=True)
    since = max(last or activity.launched_at, activity.launched_at)
    quiet = reason if last is None else f"{name}: last at {since:%H:%M} UTC"
    return Sign(name, quiet, value, threshold, since, answer.at)


def _terminals_alone(answer: Reading, activity: Activity) -> Iterator[Sign]:
    """Over the network nothing else tells of work in a terminal than that something was shown there."""
    at = _newest(server.terminal_active_at for server in answer.servers)
    yield _last("terminals", "something was last shown in one", at, answer, activity)


def _weak(answer: Reading, machine: Machine | None, policy: Policy) -> Iterator[Sign]:
    """What is there with nobody present too."""
    window = policy.idle_after or timedelta(0)
    tabs = sum(server.connections > 0 or is_polled(server, answer) for server in answer.servers)
    there = [("tabs", "a Jupyter tab is open or connected", tabs)]
    if machine is not None:
        shown = _newest(server.terminal_active_at for server in answer.servers)
        there += [
            ("terminals", "a program writes to a terminal", int(shown is not None and answer.at - shown < window)),
            ("logins", "somebody is connected by SSH", machine.logins),
            ("editors", "the server of an editor runs", machine.editors),
            ("tmux", "tmux or screen runs", machine.multiplexers),
            ("lone kernels", "a kernel runs without a Jupyter server", machine.kernels),
        ]
    for name, what, count in there:
        if count:
            limit = f"at most {words(policy.weak_signals)} more"
            yield Sign(name, f"{name}: {what}", str(count), limit, None, answer.at, weak=True)


def _newest(moments: Iterable[datetime | None]) -> datetime | None:
    return max((at for at in moments if at is not None), default=None)
