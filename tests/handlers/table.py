"""The table of template.yaml, made in moto."""

from typing import Any

from tests.handlers.template import table_properties

TABLE = "autostop"


def make_table(client: Any) -> Any:
    """Make it; gives the client back."""
    client.create_table(TableName=TABLE, **table_properties())
    return client
