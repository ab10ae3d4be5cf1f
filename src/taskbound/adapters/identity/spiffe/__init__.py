"""SPIFFE: where bundles of trust domains come from, and what proves a workload by them."""
