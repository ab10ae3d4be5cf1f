"""The API over the network: what a request means is found here, and what it may do is the daemon's to say."""
