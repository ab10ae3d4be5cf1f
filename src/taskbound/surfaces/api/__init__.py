"""The daemon's local socket: translates messages into flows, and answers back."""
