"""The commands `taskbound init` and `taskbound try`."""
