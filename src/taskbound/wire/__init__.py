"""Message shapes between our own processes: strict, tagged, unknown fields refused."""
