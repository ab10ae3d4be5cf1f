"""Work of the daemon outside requests: lost holders, due credentials, look-ups of operands."""
