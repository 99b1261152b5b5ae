"""Replay recorded days under other settings."""
