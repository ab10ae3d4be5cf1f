"""`taskbound demo`: the main use case on real input, with each decision, its reason and its proof."""
