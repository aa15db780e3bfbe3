"""What travels between a router and o10? Requests, decisions, tokens, facts; no Django."""
