"""What proxies ask a guard: whether a request may pass to the service behind them."""
