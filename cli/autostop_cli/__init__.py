"""The owner's command, for what a phone page is not for."""
