"""Requests that servers send to their clients: each is an action of its own; the client answers it."""
