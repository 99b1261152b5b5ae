"""Two thousand machines on which one user tries to hide another's work, or to learn his secret."""

import pytest

from tests.probe.fuzz import why_wrong


@pytest.mark.parametrize("first", range(0, 2_000, 500))
def test_whatever_another_user_makes_a_busy_server_is_busy_or_unknown(first: int) -> None:
    wrong = {seed: why for seed in range(first, first + 500) if (why := why_wrong(seed)) is not None}

    assert wrong == {}
