"""The system clock and random source."""
