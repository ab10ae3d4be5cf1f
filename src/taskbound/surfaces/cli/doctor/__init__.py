"""The command `taskbound doctor` and its findings."""
