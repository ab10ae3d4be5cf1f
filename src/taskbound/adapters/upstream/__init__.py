"""Upstream servers, by protocol."""
