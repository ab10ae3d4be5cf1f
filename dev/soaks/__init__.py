"""Runs that are too long for CI, each with what must hold and what was counted; `dev/soak` runs them."""
