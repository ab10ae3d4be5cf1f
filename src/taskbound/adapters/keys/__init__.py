"""Where signing keys live, and what their holder remembers."""
