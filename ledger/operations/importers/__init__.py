"""Which rows stand in a provider's export? One source a file."""
