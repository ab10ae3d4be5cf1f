"""The HTTP front: one process for many agents; each task has its tokens and a gateway of its own."""
