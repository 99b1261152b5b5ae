"""What is wanted of a workstation that others started or stopped: in the console, or from within. Pure."""

from datetime import datetime

from autostop.model import Instance, InstanceState
from autostop.sleep.intent import By, Intent, Wanted, following


def found_outside(
    instance: Instance, intent: Intent | None, kept_awake_until: datetime | None, now: datetime
) -> Intent | None:
    """The new intent that follows from what an instance is found in; None for none."""
    # What is asked for and not yet reached is the reconciler's business; a sweep never overrules it.
    if intent is not None and not intent.settled:
        return None
    runs = intent is None or intent.wanted is Wanted.RUN
    if instance.state is InstanceState.RUNNING and not runs:
        return following(intent, Wanted.RUN, By.FOUND, "it was found running: started outside Autostop", now)
    kept_awake = kept_awake_until is not None and now < kept_awake_until
    if instance.state is InstanceState.STOPPED and runs and not kept_awake:
        return following(intent, Wanted.STOP, By.FOUND, "it was found stopped: stopped outside Autostop", now)
    return None
