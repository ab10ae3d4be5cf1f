"""Amendments that people are asked about: who may answer, what they stand on, and what becomes of them."""
