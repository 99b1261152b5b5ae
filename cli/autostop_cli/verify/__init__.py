"""Restore a workstation's last snapshots to scratch volumes, and compare them."""
