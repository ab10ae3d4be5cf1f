"""Authorization codes for programs that people use: clients, requests, redirects, codes."""
