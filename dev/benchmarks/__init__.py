"""Measurements of what a decision costs, against bare baselines of the same run; `dev/bench` runs them."""
