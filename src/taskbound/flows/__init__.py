"""Use cases, step by step: each reads, lets core decide, and writes the result with its audit record."""
