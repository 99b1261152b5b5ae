"""Judge whether anybody is working."""
