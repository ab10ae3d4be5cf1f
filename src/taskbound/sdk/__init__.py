"""What programs that are not the daemon use to talk to it."""
