"""The daemon's Unix socket, its connections, its worker, and the table of its operations."""
