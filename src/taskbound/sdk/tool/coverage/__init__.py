"""Which tools an application exposes to its model, and which are guarded; one module per framework."""
