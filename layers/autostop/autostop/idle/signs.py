"""What each sign of work says of what was measured, taken by itself.

Pure. A strong sign ends the quiet. A doubt is something of a person's that is alive and may be waiting for the world:
it lets the window last for `doubt-for`. A weak sign (an open tab, a connection, an editor's server) is there with
nobody present too, and only lengthens the window. What was not seen is told as such, and never as quiet.
"""

from dataclasses import replace
from datetime import datetime

from autostop.idle.cloudwatch_metrics import network, processor
from autostop.idle.measured import Activity, Sign
from autostop.idle.signs_of_answer import answered
from autostop.settings import Policy


def signs(activity: Activity, policy: Policy, now: datetime) -> tuple[Sign, ...]:
    """All signs, the processor first, without what was before the launch. Those that are switched off are left out."""
    read = [processor(activity, policy, now)]
    if activity.network is not None and policy.network_rate is not None:
        read.append(network(activity, policy.network_rate, policy, now))
    if activity.answer is not None:
        read += answered(activity.answer, activity, policy, now)
    old = activity.launched_at
    return tuple(replace(sign, at=None) if sign.at is not None and sign.at <= old else sign for sign in read)
