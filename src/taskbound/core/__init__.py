"""The rules: pure values and functions, without I/O, clock, chance or third party."""
