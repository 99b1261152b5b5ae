"""The script that is sent to a workstation; it runs there, alone."""
