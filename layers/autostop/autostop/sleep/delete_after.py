"""When volumes were kept detached for long enough. Pure."""

from datetime import datetime

from autostop.model import Instance, InstanceState
from autostop.settings import Policy, words
from autostop.sleep.intent import Intent, Wanted, following


def end_of_keeping(
    instance: Instance, intent: Intent | None, policy: Policy, kept_since: datetime | None, now: datetime
) -> Intent | None:
    """The new intent once its detached volumes were kept for long enough; None for none."""
    if intent is None or not intent.settled or intent.wanted is not Wanted.SHELVE or kept_since is None:
        return None
    keep = policy.delete_after
    if instance.state is not InstanceState.STOPPED or keep is None or now < kept_since + keep:
        return None
    why = f"its volumes stood detached for {words(now - kept_since)} ({intent.why})"
    return following(intent, Wanted.SHELVE, intent.by, why, now)
