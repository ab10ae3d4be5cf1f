"""Authentication and authorization: principals of the network, OAuth, sign-in, and the rules in force."""
