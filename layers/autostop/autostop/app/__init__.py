"""Use cases: each wires decisions to the ports."""
