"""Guarded functions as tools of agents' frameworks; a module a framework, which nothing of ours loads."""
