"""How is a call answered without going to the database? A teller pays from its till."""
