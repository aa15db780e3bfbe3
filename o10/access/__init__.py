"""Who is calling, and what may they do? People, roles, sessions, router keys."""
