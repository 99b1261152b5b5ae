"""Autostop: put an idle EC2 workstation to sleep and wake it when its owner asks."""
