"""What only SQLite needs: its driver, its files, and how they are opened."""
