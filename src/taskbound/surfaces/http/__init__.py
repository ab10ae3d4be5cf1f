"""HTTP/1.1 within bounds, for each surface that listens: it knows none of them."""
