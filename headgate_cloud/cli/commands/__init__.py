"""One module per command; each is loaded when its command is given."""
