"""The broker's work in targets and its socket."""
