"""What happens, step by step: each flow reads, lets core decide, and writes with its record."""
