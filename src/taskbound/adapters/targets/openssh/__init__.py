"""OpenSSH as a target: certificates that the host admits one by one, and ends with all that they opened."""
