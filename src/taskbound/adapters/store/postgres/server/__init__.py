"""What concerns the server itself: connections, statements, its fitness, its roles and its schema."""
