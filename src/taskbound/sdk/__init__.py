"""What programs other than the daemon use to talk to it."""
