"""Held calls inside the commit: asked about, looked at, resumed, and used once."""
