"""Interfaces of the flows to the outside, with the duties of every adapter."""
