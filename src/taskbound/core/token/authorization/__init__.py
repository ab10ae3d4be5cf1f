"""Authorization codes for clients: requests, redirects, codes and admissions."""
