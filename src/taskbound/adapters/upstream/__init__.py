"""Servers on the far side of the gateway, by the protocol that they speak."""
