"""`taskbound demo`: the main job on real input, each decision with its reason and what proves it."""
