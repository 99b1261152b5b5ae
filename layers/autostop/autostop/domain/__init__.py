"""What Autostop knows and decides. Standard library only: no network, no clock, no environment."""
