"""Of a type that computes little without credits, less is work."""

from dataclasses import replace

import pytest

from autostop.idle.burstable import fitting
from autostop.settings import Policy
from tests.build import row


@pytest.mark.parametrize(("type_", "cores"), [
    row("t2.nano", "t2.nano", 0.025), row("t2.small", "t2.small", 0.1), row("t3.micro", "t3.micro", 0.1),
    row("t4g.medium", "t4g.medium", 0.2), row("t3.large at 0.6 cores", "t3.large", 0.25),
    row("a machine that is no burstable one", "c5.2xlarge", 0.25), row("no type that is known", "t9.nano", 0.25),
])  # fmt: skip
def test_the_limit_lies_below_what_it_does_without_credits(type_: str, cores: float) -> None:
    assert fitting(Policy(), type_).cpu_cores == cores
    assert fitting(replace(Policy(), cpu_cores=0.01), type_).cpu_cores == 0.01
