"""The commands about targets and the credentials in them."""
