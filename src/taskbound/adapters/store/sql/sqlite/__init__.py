"""SQLite: driver, files, opening."""
