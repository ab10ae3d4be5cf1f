"""One module a process: the only place where parts are plugged together."""
