"""The broker's side of its two connections: work that is due in targets, and its own socket."""
