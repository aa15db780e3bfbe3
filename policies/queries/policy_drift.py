"""Do use cases and envelopes read as the policy in force says?

Operations publish what they touched, and processes follow what was published. A row changed
without being published would be obeyed by nobody; this comparison of all rows finds it.
"""

from policies.core.policy_body import difference
from policies.queries.current_policy import NOTHING, current_policy
from policies.queries.snapshot_rows import read_policy_rows


def find_policy_drift() -> tuple[str, ...]:
    """Which use cases (by slug) and envelopes (env_…) read otherwise than the policy says?

    Run it in one snapshot, or on a quiet system: a change in between would look like drift.
    """
    policy, rows = current_policy(), read_policy_rows()
    if policy.stamp == NOTHING:
        return ()
    known = policy.snapshot.rows
    changed = difference(before=known, after=rows)
    if changed is not None:
        return (
            *(rule.slug for rule in changed.use_cases),
            *(rule.public for rule in changed.envelopes),
        )
    envelopes = {rule.id for rule in rows.envelopes}
    use_cases = {rule.id for rule in rows.use_cases}
    return (
        *(rule.slug for rule in known.use_cases if rule.id not in use_cases),
        *(rule.public for rule in known.envelopes if rule.id not in envelopes),
    )
