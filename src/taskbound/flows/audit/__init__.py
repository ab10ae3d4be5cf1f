"""The log: sequencing, signing, and comparison of rows with records."""
