"""What sweeps of so many workstations cost: all at work, and all so quiet that every one must be asked."""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.bench import custodian
from tests.bench.account import BUSY_CORES, QUIET_CORES, Account, account_of, begin_of
from tests.bench.function import Invoked, function

CASES = {"busy": "every processor busy", "asked": "every processor quiet, all asked by Run Command"}
_LASTS = timedelta(hours=2)
_EVERY = timedelta(minutes=5)
_SWEEPS = 3


@dataclass(frozen=True, slots=True)
class Measured:
    """The sweeps of one account, by case, in their order; beside: the rival on the same account, and ours beside it."""

    workstations: int
    sweeps: Mapping[str, tuple[Invoked, ...]]
    beside: "Beside | None" = None

    def steady(self, case: str) -> Invoked:
        """The dearest sweep after the first: it collects the answers to the one before, and asks anew."""
        return max(self.sweeps[case][1:], key=lambda invoked: (invoked.total, invoked.seconds))

    def peak_mib(self, case: str) -> float:
        """The most memory that the function had held after its last sweep."""
        return self.sweeps[case][-1].peak_mib


@dataclass(frozen=True, slots=True)
class Beside:
    """One look at the quiet account by each, from the start of its process to its end."""

    ours: Invoked
    our_seconds: float
    theirs: custodian.Ran


def measure(workstations: int, *, beside_custodian: bool) -> Measured:
    """Two hours of an account that end now: Custodian's clock is the one on the wall.

    Raises RuntimeError when a sweep fails, or does not come to the verdicts that the account was made for.
    """
    end = datetime.now(UTC)
    begin = begin_of(end, _LASTS)
    with account_of(workstations, begin) as account:
        with function(account.environment() | account.settings()) as invoke:
            account.use_cores(BUSY_CORES)
            busy = _sweeps(account, invoke, begin + timedelta(minutes=55))
            account.use_cores(QUIET_CORES)
            asked = _sweeps(account, invoke, end)
        beside = _beside(account) if beside_custodian else None
    return Measured(workstations, {"busy": busy, "asked": asked}, beside)


def _sweeps(account: Account, invoke: Any, ends_at: datetime) -> tuple[Invoked, ...]:
    swept: list[Invoked] = []
    for number in reversed(range(_SWEEPS)):
        account.pass_time(ends_at - number * _EVERY)
        account.calls()
        invoked: Invoked = invoke(account.clock())
        _check(account, invoked, first=not swept)
        swept.append(invoked)
    return tuple(swept)


def _check(account: Account, invoked: Invoked, *, first: bool) -> None:
    """A sweep that saw nothing, or that the emulator counts otherwise, would be a bench of something else."""
    expected = len(account.workstations)
    # Nobody has answered yet when the first sweep asks.
    judged = sum(invoked.kinds.values()) if first else invoked.kinds.get("active", 0)
    if judged != expected or invoked.intents or invoked.skipped or not invoked.state_pages:
        raise RuntimeError(f"{expected} workstations are at work, but the sweep says {asdict(invoked)}")
    emulated = account.calls()
    counted = {name: count for name, count in invoked.calls.items() if not name.startswith(("dynamodb", "sqs"))}
    if emulated != counted:
        raise RuntimeError(f"the emulator counts {dict(emulated)}, the function {counted}")


def _beside(account: Account) -> Beside:
    with tempfile.TemporaryDirectory() as directory:
        theirs = custodian.run(account, Path(directory))
    account.pass_time(account.clock() + _EVERY)  # the answers to the sweep before have come, and new ones are due
    began = time.perf_counter()
    with function(account.environment() | account.settings()) as invoke:
        ours = invoke(account.clock())
    return Beside(ours, time.perf_counter() - began, theirs)
