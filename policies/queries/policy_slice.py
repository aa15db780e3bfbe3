"""Which part of the policy in force concerns one key? What `GET /policy/snapshot` shows."""

from datetime import datetime

from ledger import facade as ledger
from o10.access.keys import Caller
from o10.wire.leasing import EnvelopeFact, SnapshotSlice, UseCaseFact
from policies.core.record import exact
from policies.core.rules import EnvelopeRule, UseCaseRule
from policies.core.snapshot import Place, Snapshot
from policies.queries.current_policy import current_policy


def policy_slice(*, caller: Caller, now: datetime) -> SnapshotSlice:
    """What does the policy say of the use cases of this key? In order of slug."""
    policy = current_policy()
    snapshot, slugs = policy.snapshot, caller.use_case_slugs
    return SnapshotSlice(
        version=snapshot.version,
        hash=snapshot.hash,
        price_version=ledger.price_book().version,
        currency=policy.currency,
        use_cases=tuple(
            _use_case(snapshot, snapshot.use_cases[slug], now)
            for slug in sorted(snapshot.use_cases)
            if slugs is None or slug in slugs
        ),
    )


def slice_stamp() -> str:
    """Which text changes whenever a slice may? Two reads, nothing is compiled."""
    return f"{current_policy().snapshot.version}.{ledger.price_book().version}"


def _use_case(snapshot: Snapshot, rule: UseCaseRule, now: datetime) -> UseCaseFact:
    place = snapshot.place_of(use_case=rule, labels={}, at=now)
    path = place.path if isinstance(place, Place) else ()
    return UseCaseFact(
        slug=rule.slug,
        mode=rule.mode,
        fail_mode=rule.fail_mode,
        default_max_output_tokens=rule.default_max_output_tokens,
        max_input_tokens=rule.max_input_tokens,
        envelopes=tuple(map(_envelope, path)),
    )


def _envelope(rule: EnvelopeRule) -> EnvelopeFact:
    return EnvelopeFact(
        id=rule.public,
        name=rule.name,
        scope=rule.scope_kind,
        state=rule.state,
        cap_nanos=exact(rule.cap_nanos),
        per_call_nanos=exact(rule.per_call_nanos),
        per_run_nanos=exact(rule.per_run_nanos),
        epoch=rule.epoch,
    )
