import re

from o10.wire.reasons import REASONS, Again, Effect, Reason, SettleFlag, in_order

NUMBERS = [
    *range(100, 107),
    *range(110, 120),
    *range(200, 219),
    *range(300, 306),
    *range(400, 404),
    *range(500, 506),
    *range(600, 605),
]
"""A literal copy of the numbers given out so far: none may vanish, none be reused."""

LITERAL = """
100 KEY_NOT_SCOPED D no|101 USE_CASE_UNKNOWN D/A no|102 USE_CASE_NOT_STARTED D yes
103 EMERGENCY_STOP D yes|104 USE_CASE_SUNSET D/C no|105 KILL_CRITERION_ACTIVE D/C/R yes
106 POLICY_UNAVAILABLE D yes|110 MODEL_DENIED D/R no|111 MODEL_NOT_APPROVED D/R no
112 APPROVAL_EXPIRED D/R no|113 RESIDENCY_VIOLATION D/R no|114 ZDR_REQUIRED D/R no
115 DATA_CLASS_FORBIDDEN D/R no|116 MODE_DENIED D no|117 INPUT_TOKENS_OVER_CAP D no
118 APPROVAL_REQUIRED H yes|119 NO_COMPLIANT_ROUTE D no|200 PRICE_UNKNOWN D/R no
201 PRICE_STALE D/A yes|202 ESTIMATE_MISSING D no|203 ENVELOPE_NOT_FOUND D no
204 ENVELOPE_NOT_STARTED D yes|205 ENVELOPE_FROZEN D yes|206 ENVELOPE_CLOSED D no
207 DEBT_OUTSTANDING D yes|208 PER_CALL_LIMIT D/C no|209 PER_RUN_LIMIT D/C no
210 RUN_LOOP_DETECTED D no|211 RATE_OF_SPEND D/C yes|212 ENVELOPE_HARD_LIMIT D yes
213 PARENT_ENVELOPE_EXHAUSTED D yes|214 CAPPED_TOKENS C -|215 CAPPED_STEPS C -
216 DOWNGRADED_BUDGET_PRESSURE R -|217 ENVELOPE_SOFT_LIMIT A -|218 CONTINGENCY_USED A -
300 EVAL_MISSING D/R no|301 EVAL_BELOW_FLOOR D/R no|302 EVAL_INSUFFICIENT D/R no
303 EVAL_MARGINAL R/A no|304 EVAL_STALE D/R no|305 TIER_BELOW_CLASS R no
400 CAPACITY_EXHAUSTED R/D yes|401 LATENCY_SLO_MISSED R/D yes|402 VENUE_UNHEALTHY R/D yes
403 NO_HEALTHY_ROUTE D yes|500 RIGHTSIZED R -|501 STRATEGY_CHOICE R -|502 MODEL_FORCED R -
503 COMMITTED_CAPACITY R/A -|504 PINNED_MODEL A -|505 CLASSIFIER_UNAVAILABLE A -
600 OK_WITHIN_ENVELOPE A -|601 OK_APPROVED A -|602 OK_UNLIMITED A -|603 OK_SHADOW A -
604 FAIL_OPEN A -
"""


def test_the_table_is_the_published_list_in_its_order():
    published = [row.split() for row in LITERAL.replace("\n", "|").strip("|").split("|")]
    table = [
        [str(row.number), code.value, "/".join(row.effects), row.again.value]
        for code, row in REASONS.items()
    ]
    assert table == published


def test_numbers_are_unique_rising_and_complete():
    assert [row.number for row in REASONS.values()] == NUMBERS
    assert [reason.number for reason in Reason] == NUMBERS


def test_every_reason_has_a_row_and_its_name_is_its_wire_value():
    assert list(REASONS) == list(Reason)
    for reason in Reason:
        assert reason.name == reason.value
        assert re.fullmatch(r"[A-Z0-9]+(_[A-Z0-9]+)*", reason.value)
        assert reason.row is REASONS[reason]


def test_every_reason_says_what_it_means_and_what_to_do():
    for row in REASONS.values():
        assert re.fullmatch(r"[A-Z].+\.", row.meaning)
        assert re.fullmatch(r"[A-Z].+\.", row.next_step)
        assert len(row.meaning) <= 90


def test_only_reasons_that_can_stop_a_call_speak_of_sending_it_again():
    for reason, row in REASONS.items():
        stops = bool({Effect.DENY, Effect.HOLD} & set(row.effects))
        if stops:
            assert row.again is not Again.NOT_NEEDED, reason
        elif reason not in (Reason.EVAL_MARGINAL, Reason.TIER_BELOW_CLASS):
            assert row.again is Again.NOT_NEEDED, reason


def test_reasons_are_told_by_number_and_once():
    told = in_order(
        [Reason.FAIL_OPEN, Reason.PRICE_UNKNOWN, Reason.FAIL_OPEN, Reason.KEY_NOT_SCOPED]
    )
    assert told == [Reason.KEY_NOT_SCOPED, Reason.PRICE_UNKNOWN, Reason.FAIL_OPEN]


def test_settle_flags_are_the_published_list():
    assert [flag.value for flag in SettleFlag] == [
        "LATE_SETTLE",
        "OVERRUN",
        "CAPS_NOT_HONOURED",
        "USAGE_ESTIMATED",
        "USAGE_INCONSISTENT",
        "MODEL_SERVED_DIFFERS",
        "TIER_SERVED_DIFFERS",
        "PROVIDER_COST_DIFFERS",
        "ZERO_USAGE_CONFIRMED",
        "PRIOR_PERIOD",
    ]
