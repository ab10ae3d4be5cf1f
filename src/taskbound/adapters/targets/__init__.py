"""Drivers that mint credentials, one per kind of target (`ports.target`)."""
