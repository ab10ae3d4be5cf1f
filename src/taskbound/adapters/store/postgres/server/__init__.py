"""PostgreSQL server access: connections, statements, fitness checks, roles, schema."""
