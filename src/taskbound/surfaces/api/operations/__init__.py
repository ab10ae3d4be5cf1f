"""The handlers of the daemon's operations, by word, and the conversion of stored values to messages."""
