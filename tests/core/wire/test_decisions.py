import json
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from o10.kernel.money import Money
from o10.wire.decisions import (
    Caps,
    Counterfactual,
    Decision,
    EnvelopeView,
    Extended,
    Mode,
    MoneyView,
    Outcome,
    PolicyRef,
    ReasonEntry,
    Released,
    ReservationView,
    Route,
    Settled,
    encode,
)
from o10.wire.reasons import Reason, SettleFlag

EXPIRES = datetime(2026, 11, 20, 9, 40, tzinfo=UTC)


def make_decision(**changes):
    fields = {
        "decision": Outcome.ALLOW,
        "would_decision": Outcome.ALLOW,
        "mode": Mode.ENFORCE,
        "decision_id": "dec_01h455vb4pex5vsknk084sn02q",
        "reasons": (ReasonEntry(code=Reason.OK_WITHIN_ENVELOPE, detail="$0.985 left."),),
        "route": Route(
            offer="bedrock/eu-central-1/x",
            model="x",
            venue="bedrock",
            region="eu-central-1",
            price_version=41,
        ),
        "caps": Caps(max_output_tokens=800),
        "reservation": ReservationView.of(
            public_id="rsv_01h455vb4pex5vsknk084sn02q",
            token="AQ",
            money=Money("USD", 15_000_000),
            expires_at=EXPIRES,
        ),
        "envelopes": (
            EnvelopeView.of(
                public_id="env_01h455vb4pex5vsknk084sn02q",
                name="Support / Nov 2026",
                cap_nanos=1_000_000_000,
                settled_nanos=0,
                held_nanos=15_000_000,
                available_nanos=985_000_000,
                binding=True,
            ),
        ),
        "counterfactual": Counterfactual.of(
            offer="groq/y", amount_nanos=1_100_000, saving_nanos=13_900_000
        ),
        "policy": PolicyRef(version=12, hash="ab" * 32),
    }
    return Decision(**fields | changes)


def test_a_decision_is_the_exact_json_of_the_contract():
    assert encode(make_decision()).decode() == (
        '{"decision":"allow","would_decision":"allow","mode":"enforce",'
        '"decision_id":"dec_01h455vb4pex5vsknk084sn02q",'
        '"reasons":[{"code":"OK_WITHIN_ENVELOPE","detail":"$0.985 left."}],'
        '"route":{"offer":"bedrock/eu-central-1/x","model":"x","venue":"bedrock",'
        '"region":"eu-central-1","price_version":41},'
        '"caps":{"max_output_tokens":800},'
        '"reservation":{"id":"rsv_01h455vb4pex5vsknk084sn02q","token":"AQ","amount":"0.015",'
        '"amount_nanos":"15000000","currency":"USD","expires_at":"2026-11-20T09:40:00Z"},'
        '"envelopes":[{"id":"env_01h455vb4pex5vsknk084sn02q","name":"Support / Nov 2026",'
        '"cap":"1.00","settled":"0.00","held":"0.015","available":"0.985","binding":true}],'
        '"counterfactual":{"offer":"groq/y","amount":"0.0011","saving":"0.0139"},'
        '"policy":{"version":12,"hash":"' + "ab" * 32 + '"}}'
    )


def test_a_denial_has_the_same_keys_with_nulls_and_no_money():
    denied = make_decision(
        decision=Outcome.DENY,
        would_decision=Outcome.DENY,
        reasons=(ReasonEntry(code=Reason.ENVELOPE_HARD_LIMIT, detail="$0.0041 more."),),
        route=None,
        caps=None,
        reservation=None,
        counterfactual=None,
    )
    body = json.loads(encode(denied))
    assert list(body) == list(json.loads(encode(make_decision())))
    assert [body[key] for key in ("route", "caps", "reservation", "counterfactual")] == [
        None
    ] * 4


def test_equal_decisions_are_equal_bytes():
    assert encode(make_decision()) == encode(make_decision())


def test_an_answer_reads_back_as_itself():
    decision = make_decision()
    assert msgspec.json.decode(encode(decision), type=Decision) == decision


def test_an_instant_of_another_offset_is_written_in_utc():
    berlin = timezone(timedelta(hours=1))
    view = ReservationView.of(
        public_id="rsv_x",
        token="t",
        money=Money("USD", 1),
        expires_at=datetime(2026, 11, 20, 10, 40, tzinfo=berlin),
    )
    assert b'"expires_at":"2026-11-20T09:40:00Z"' in encode(view)


def test_an_unlimited_envelope_has_null_for_cap_and_left():
    view = EnvelopeView.of(
        public_id="env_x",
        name="n",
        cap_nanos=None,
        settled_nanos=5,
        held_nanos=0,
        available_nanos=None,
        binding=False,
    )
    assert (view.cap, view.available, view.settled) == (None, None, "0.000000005")


def test_caps_that_are_not_set_are_not_written():
    caps = Caps(max_output_tokens=5, cooldown_ms=100, tools=["search"])
    assert encode(caps) == b'{"max_output_tokens":5,"cooldown_ms":100,"tools":["search"]}'


def test_a_hold_names_the_approval_to_wait_for():
    held = make_decision(
        decision=Outcome.HOLD,
        reservation=None,
        caps=None,
        route=None,
        approval_id="apr_x",
        retry_after_s=60,
    )
    body = json.loads(encode(held))
    assert (body["approval_id"], body["retry_after_s"]) == ("apr_x", 60)
    assert "approval_id" not in json.loads(encode(make_decision()))


@pytest.mark.parametrize(
    "changes",
    [{"reasons": ()}, {"decision": Outcome.DENY}, {"decision": Outcome.HOLD}, {"caps": None}],
    ids=str,
)
def test_a_decision_that_contradicts_itself_can_not_be_built(changes):
    with pytest.raises(ValueError, match=r"reason|holds no money|caps"):
        make_decision(**changes)


def test_a_call_goes_unless_held_or_denied():
    assert [outcome for outcome in Outcome if not outcome.goes] == [Outcome.HOLD, Outcome.DENY]


def test_a_settle_answer_is_the_exact_json_of_the_contract():
    answer = Settled(
        entry_id="ent_x",
        cost=MoneyView.of(Money("USD", 7_650_000)),
        refunded=MoneyView.of(Money("USD", 7_350_000)),
        overrun=MoneyView.of(Money("USD", 0)),
        late=False,
        flags=(SettleFlag.MODEL_SERVED_DIFFERS,),
    )
    assert encode(answer).decode() == (
        '{"entry_id":"ent_x",'
        '"cost":{"amount":"0.00765","amount_nanos":"7650000","currency":"USD"},'
        '"refunded":{"amount":"0.00735","amount_nanos":"7350000","currency":"USD"},'
        '"overrun":{"amount":"0.00","amount_nanos":"0","currency":"USD"},'
        '"late":false,"flags":["MODEL_SERVED_DIFFERS"]}'
    )


def test_release_and_extend_answers_keep_their_key_order():
    released = Released(entry_id="ent_x", refunded=MoneyView.of(Money("USD", 1)))
    assert list(json.loads(encode(released))) == ["entry_id", "refunded"]
    decision = make_decision()
    extended = Extended(
        decision=decision.decision,
        reasons=decision.reasons,
        route=decision.route,
        caps=decision.caps,
        reservation=decision.reservation,
    )
    assert list(json.loads(encode(extended))) == [
        "decision",
        "reasons",
        "route",
        "caps",
        "reservation",
    ]
