"""What executors have in common whose attempts run elsewhere: room, meters, output that is copied here, and pauses."""
