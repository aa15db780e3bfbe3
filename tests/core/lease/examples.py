"""Which records do the tests write? One of each kind, and any at all."""

from hypothesis import strategies as st

from o10.lease import records

LEASE = bytes.fromhex("01a1f8490000700080000000000000" + "0a")
AT_US = 1_795_166_400_000_000

STARTED = records.Started(
    format=records.FORMAT, fence=12, host="plane-1", pid=4711, born=88_123, at_us=AT_US
)
RESERVED = records.Reserved(
    lease=LEASE,
    grounds=1,
    seen=1,
    at_us=AT_US,
    free_before=10_000_000,
    amount=4_590_000,
    input_bound=1_320,
    max_output_tokens=800,
    expires_ms=AT_US // 1_000 + 600_000,
    request_id="req-310",
    request_hash=b"",
    request=b'{"use_case":"support"}',
    answer=b'{"decision":"allow"}',
)
GIVEN_BACK = records.GivenBack(lease=LEASE, at_us=AT_US, amount=675_000)
ENDED = records.Ended(at_us=AT_US)
EVERY_RECORD = (
    STARTED,
    records.Grounds(
        number=1,
        caller="key-7",
        actor="router",
        currency="USD",
        use_case=3,
        use_case_slug="support",
        department_slug="service",
        mode="enforce",
        root=1,
        path_ids=(1, 9),
        path_publics=("env_root", "env_leaf"),
        path_names=("Company", "Support"),
        path_starts_us=(AT_US, AT_US),
        path_ends_us=(AT_US + 1, AT_US + 1),
        offer="off-1",
        venue="openai",
        model="gpt-4.1",
        region="eu",
        tier="standard",
        price_version=4,
        policy_version=12,
        policy_hash="ab" * 32,
    ),
    records.Seen(number=1, at_us=AT_US, levels=((None, 1, 2, 3, 4), (60, 5, 6, 7, 8))),
    RESERVED,
    records.Settled(
        lease=LEASE,
        sequence=310,
        journal=12,
        at_us=AT_US,
        attempt=1,
        final=True,
        cost=3_915_000,
        covered=3_915_000,
        caller="key-7",
        actor="router",
        request_hash=bytes(32),
        request=b"{}",
        answer=b"{}",
    ),
    records.Released(
        lease=LEASE,
        sequence=310,
        journal=12,
        at_us=AT_US,
        caller="key-7",
        actor="router",
        request_hash=bytes(32),
        request=b"{}",
        answer=b"{}",
    ),
    records.Denied(
        id=LEASE,
        caller="key-7",
        actor="router",
        at_us=AT_US,
        use_case=3,
        use_case_slug="support",
        department_slug="service",
        envelope=9,
        decision="deny",
        would_decision="deny",
        mode="enforce",
        reason="ENVELOPE_EXHAUSTED",
        reason_code=9,
        model="gpt-4.1",
        worst=4_590_000,
        policy_version=12,
        price_version=4,
        offer=("openai", "gpt-4.1", "eu", "standard"),
        attempt=1,
        request_id="req-311",
        request_hash=bytes(32),
        request=b"{}",
        record=b"{}",
        answer=b"{}",
    ),
    GIVEN_BACK,
    ENDED,
)

_SMALL = st.binary(max_size=200)
_NANOS = st.integers(0, 2**63 - 1)
RECORDS = st.one_of(
    st.sampled_from(EVERY_RECORD),
    st.builds(
        records.Reserved,
        lease=st.binary(min_size=16, max_size=16),
        grounds=_NANOS,
        seen=_NANOS,
        at_us=_NANOS,
        free_before=_NANOS,
        amount=_NANOS,
        input_bound=_NANOS,
        max_output_tokens=_NANOS,
        expires_ms=_NANOS,
        request_id=st.text(max_size=64),
        request_hash=_SMALL,
        request=st.binary(max_size=20_000),
        answer=_SMALL,
    ),
    st.builds(records.GivenBack, lease=_SMALL, at_us=_NANOS, amount=_NANOS),
)
