"""Whether what people and issuers say is theirs, and counts: when it comes, and when it is used."""
