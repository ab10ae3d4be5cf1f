"""The page on which a person is asked about a client, and the way back to the client."""
