"""The SQL store and its two engines."""
