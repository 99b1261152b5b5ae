"""Try a shelving on scratch volumes."""
