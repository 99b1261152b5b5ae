"""When a stopped workstation is shelved. Pure."""

from datetime import datetime

from autostop.model import Instance, InstanceState
from autostop.settings import Policy, words
from autostop.sleep.intent import Intent, Wanted, following


def stop_or_shelve(policy: Policy) -> Wanted:
    """What a stop for idleness or at a limit is to become: shelved at once, or only stopped for now."""
    return Wanted.SHELVE if policy.shelve_after is not None and not policy.shelve_after else Wanted.STOP


def time_to_shelve(
    instance: Instance, intent: Intent | None, policy: Policy, kept_awake_until: datetime | None, now: datetime
) -> Intent | None:
    """The new intent once it was stopped for long enough; None for none."""
    if intent is None or intent.wanted is not Wanted.STOP or intent.settled_at is None:
        return None
    if instance.state is not InstanceState.STOPPED or (kept_awake_until is not None and now < kept_awake_until):
        return None
    if policy.shelve_after is None or now < intent.settled_at + policy.shelve_after:
        return None
    why = f"it was stopped for {words(policy.shelve_after)} ({intent.why})" if policy.shelve_after else intent.why
    return following(intent, Wanted.SHELVE, intent.by, why, now)
