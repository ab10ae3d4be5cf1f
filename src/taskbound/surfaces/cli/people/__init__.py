"""The commands about persons, groups, agents, and what authenticates them."""
