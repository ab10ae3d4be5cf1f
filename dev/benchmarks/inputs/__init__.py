"""What is decided: calls, scopes and one definition, small ones as files, large ones as rules."""
