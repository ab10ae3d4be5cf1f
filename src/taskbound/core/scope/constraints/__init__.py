"""The constraints on values, by family; ``registry`` lists them all."""
