"""What mints credentials, by the system that they are for (`ports.target`)."""
