"""What a browser is served while a person is asked about a client: one strict page, and the way on."""
