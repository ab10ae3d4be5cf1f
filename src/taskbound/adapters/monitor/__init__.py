"""Delivery channels to the monitors of agents."""
