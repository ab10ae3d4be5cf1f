"""Process entry points; the only package where components are connected."""
