"""Engines that answer for the organisation's rules."""
