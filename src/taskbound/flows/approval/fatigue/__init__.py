"""How much people are asked: what was shown to them, how fast they answered, and what is too much."""
