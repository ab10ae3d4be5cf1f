"""The command line: a client of the daemon with no rights beyond those of the account that runs it."""
