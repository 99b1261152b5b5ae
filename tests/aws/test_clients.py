"""How the clients read what AWS sends."""

from datetime import UTC, datetime

import pytest
from botocore.utils import parse_timestamp

from autostop.aws.clients import moment

AT = datetime(2026, 11, 23, 18, 30, 5, tzinfo=UTC)


@pytest.mark.parametrize("value", [
    "2026-11-23T18:30:05Z", "2026-11-23T18:30:05.000Z", "2026-11-23T19:30:05+01:00", "2026-11-23T18:30:05",
    "Mon, 23 Nov 2026 18:30:05 GMT", AT.timestamp(), int(AT.timestamp()), str(int(AT.timestamp())),
])  # fmt: skip
def test_a_moment_is_read_in_every_form_that_aws_uses(value: str | float) -> None:
    assert moment(value) == AT
    assert moment(value).tzinfo is UTC


@pytest.mark.parametrize("value", ["2026-11-23T18:30:05.123Z", 1795458605.5, 0, "1970-01-01T00:00:00Z"])
def test_a_moment_is_the_one_that_botocore_reads(value: str | float) -> None:
    assert moment(value) == parse_timestamp(str(value))


def test_what_is_no_moment_is_refused() -> None:
    with pytest.raises(ValueError, match="timestamp"):
        moment("yesterday-ish")
