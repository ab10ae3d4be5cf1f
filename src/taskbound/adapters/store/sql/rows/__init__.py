"""How rows are reached: connections, statements and what columns hold."""
