"""Looking at what a held call names: files, rows, pages, and what reading tools answered."""
