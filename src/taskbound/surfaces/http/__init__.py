"""A bounded HTTP/1.1 server, shared by all listening surfaces."""
