"""Find the next step toward what is wanted."""
