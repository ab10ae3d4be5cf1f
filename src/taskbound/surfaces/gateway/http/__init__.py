"""The HTTP front: one process, many agents, each behind the bearer of its task and a gateway of its own."""
