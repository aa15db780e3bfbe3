"""Which rules decide? Pure functions: no Django, no database, no clock."""
