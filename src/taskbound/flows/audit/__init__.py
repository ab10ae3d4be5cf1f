"""How the log grows: its records get their order, and the signer vouches for it."""
