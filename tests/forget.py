"""What does this process remember of a database? Cleared when its tables are emptied."""


def forget_everything() -> None:
    """Drops every in-process cache: numbers, offers, months, policy, token and router keys."""
    from ledger import facade as ledger
    from ledger.operations.append import _ready_months
    from ledger.operations.intern import forget_numbers
    from o10.access import keys
    from policies import facade as policies

    forget_numbers()
    ledger.forget_offer_numbers()
    _ready_months.clear()
    policies.forget_policy()
    policies.forget_keys()
    keys.forget()
