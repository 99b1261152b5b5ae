"""What a start is told of Jupyter, by the newest answer that the table holds."""

from datetime import timedelta

import pytest

from autostop.app.reconcile import jupyter_since
from autostop.idle.reading import Reading, Unknown
from autostop.model import Jupyter
from autostop.settings import Policy, Probe
from autostop.state import State
from tests.build import ID, NOW, instance, reading, server

A_SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(("answer", "probe", "expected"), [
    pytest.param(reading(NOW, server(busy=1, kernel_active_at=NOW)), Probe.SSM, Jupyter.SERVES, id="a busy one"),
    pytest.param(reading(NOW, server()), Probe.SSM, Jupyter.SERVES, id="answered in the second of the launch"),
    pytest.param(Reading(NOW, ()), Probe.SSM, Jupyter.NO_SERVER, id="none runs"),
    pytest.param(Unknown(NOW, "no answer"), Probe.SSM, Jupyter.SILENT, id="an answer that cannot be read"),
    pytest.param(None, Probe.SSM, Jupyter.SILENT, id="no answer yet"),
    pytest.param(reading(NOW - A_SECOND, server()), Probe.SSM, Jupyter.SILENT, id="from before the launch"),
    pytest.param(reading(NOW, server()), Probe.NONE, Jupyter.NOT_ASKED, id="nobody asks"),
])  # fmt: skip
def test_what_is_known_of_jupyter(answer: Reading | Unknown | None, probe: Probe, expected: Jupyter) -> None:
    state = State(ID).hearing(answer, None)

    assert jupyter_since(state, instance(launched_at=NOW), Policy(probe=probe)) is expected
