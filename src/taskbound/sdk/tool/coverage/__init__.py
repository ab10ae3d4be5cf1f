"""What an application exposes to its model, and whether it is asked for; a module a framework."""
