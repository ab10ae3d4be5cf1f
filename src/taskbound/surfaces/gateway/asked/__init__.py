"""What servers ask of the clients that call them: each question an action of its own, and who answers it."""
