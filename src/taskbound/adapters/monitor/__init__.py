"""Channels by which news reaches whoever watches over an agent."""
