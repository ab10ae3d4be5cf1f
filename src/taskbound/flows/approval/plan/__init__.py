"""Plans: several held calls that are answered together, used in their order, and ended as a whole."""
