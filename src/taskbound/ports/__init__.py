"""What the flows need of the world, as duties that every adapter keeps."""
