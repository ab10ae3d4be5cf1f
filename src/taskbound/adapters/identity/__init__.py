"""Verifies identities, grouped by method."""
