"""Which words do all parts share? Money, usage, rates, periods, ids, errors, figures."""
