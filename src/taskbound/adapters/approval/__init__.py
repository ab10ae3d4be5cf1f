"""What approvals need of the world: what stands behind the arguments of a call."""
