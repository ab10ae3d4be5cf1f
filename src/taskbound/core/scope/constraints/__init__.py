"""The constraints on values, by family, and how two of them compare; ``registry`` names them all."""
