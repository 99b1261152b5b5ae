"""What a burstable instance without credits can still do: so little, that its limit for idleness must lie below."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from autostop.settings import Policy

# Processor cores at the baseline: percent of a core by its number of cores (EC2 User Guide, Key concepts for burstable
# performance instances). T3, T3a and T4g are alike; from 0.5 cores on the default limit lies below half of it.
_T3: Final = {"nano": 0.1, "micro": 0.2, "small": 0.4, "medium": 0.4}
_BASELINES: Final[Mapping[str, Mapping[str, float]]] = {
    "t2": {"nano": 0.05, "micro": 0.1, "small": 0.2, "medium": 0.4},
    "t3": _T3, "t3a": _T3, "t4g": _T3,
}  # fmt: skip


def fitting(policy: Policy, type_: str) -> Policy:
    """The policy with a limit of the processor that an instance of this type exceeds at work, even without credits."""
    family, _, size = type_.partition(".")
    baseline = _BASELINES.get(family, {}).get(size)
    if baseline is None or policy.cpu_cores <= baseline / 2:
        return policy
    return replace(policy, cpu_cores=baseline / 2)
