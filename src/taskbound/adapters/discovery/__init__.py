"""Looking through an account's files for static secrets (`core.credential.static`)."""
