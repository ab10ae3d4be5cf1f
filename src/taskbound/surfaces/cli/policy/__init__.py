"""`taskbound policy`: tests, proposes and activates the organization's policies."""
