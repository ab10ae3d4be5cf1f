"""SPIFFE: sources of trust bundles, and verification of workloads."""
