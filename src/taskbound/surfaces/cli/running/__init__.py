"""Commands that run other programs under a task: `taskbound run` and `taskbound exec`."""
