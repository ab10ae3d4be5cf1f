"""The HTTP front: one process, many agents, each task behind its tokens and a gateway of its own."""
