"""The commands that show, answer and sign questions, plans and amendments."""
