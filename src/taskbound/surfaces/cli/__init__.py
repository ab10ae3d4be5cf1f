"""The command line: what a person types, and what they see; a client of the daemon like any other."""
