"""Held calls within a commit: asking, probing, resuming, and single use."""
