"""Answers proxies that ask whether a request may pass to the service behind them."""
