"""What Autostop does: each use case reads what is, asks the domain, and carries the answer out."""
