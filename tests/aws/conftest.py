import pytest

from tests.app.autostop_at_work import AtWork


@pytest.fixture
def lab(lab_over_http: AtWork) -> AtWork:
    """Adapters are tried with all that boto3 does."""
    return lab_over_http
