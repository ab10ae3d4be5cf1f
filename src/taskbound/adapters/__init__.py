"""Each thing of the world that a port stands for, by role, then by technology."""
