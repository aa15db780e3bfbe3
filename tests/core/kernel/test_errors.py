import re

import pytest

from o10.kernel import errors
from o10.kernel.errors import Conflict, FieldError, O10Error, Retry, ValidationFailed

FAMILIES = {
    errors.Rejected,
    errors.Denied,
    errors.Missing,
    errors.Conflict,
    errors.Unavailable,
    errors.Corrupt,
}
CODES = {
    "ValidationFailed": "validation_failed",
    "MalformedBody": "malformed_body",
    "UnsupportedMediaType": "unsupported_media_type",
    "TooLarge": "too_large",
    "UnitMismatch": "unit_mismatch",
    "Unauthorized": "unauthorized",
    "Forbidden": "forbidden",
    "SelfApproval": "self_approval",
    "TokenInvalid": "token_invalid",
    "NotFound": "not_found",
    "ReservationUnknown": "reservation_unknown",
    "IdempotencyMismatch": "idempotency_mismatch",
    "ReservationFinalized": "reservation_finalized",
    "PeriodClosed": "period_closed",
    "NotSealedYet": "not_sealed_yet",
    "PreconditionFailed": "precondition_failed",
    "RateLimited": "rate_limited",
    "ServiceUnavailable": "unavailable",
}


def concrete():
    return [
        each
        for each in vars(errors).values()
        if isinstance(each, type)
        and issubclass(each, O10Error)
        and each not in FAMILIES
        and each is not O10Error
    ]


def test_every_common_error_has_its_promised_code_and_one_family():
    assert {each.__name__: each.code for each in concrete()} == CODES
    for each in concrete():
        assert len([family for family in FAMILIES if issubclass(each, family)]) == 1


@pytest.mark.parametrize("kind", concrete(), ids=lambda kind: kind.__name__)
def test_codes_are_lower_snake_and_retry_is_one_of_three_words(kind):
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)
    assert kind.retry in (Retry.NO, Retry.SAME, Retry.LATER)


def test_only_what_may_change_says_later_and_only_what_is_away_says_same():
    later = {each.__name__ for each in concrete() if each.retry is Retry.LATER}
    same = {each.__name__ for each in concrete() if each.retry is Retry.SAME}
    assert later == {"NotSealedYet", "PreconditionFailed", "RateLimited"}
    assert same == {"ServiceUnavailable"}


def test_fields_are_carried_and_readable_by_name():
    error = errors.PeriodClosed(period="2026-10", closed_at="2026-11-05")
    assert error.fields == {"period": "2026-10", "closed_at": "2026-11-05"}
    assert error.period == "2026-10"
    assert str(error) == "period_closed (period='2026-10', closed_at='2026-11-05')"
    with pytest.raises(AttributeError, match="PeriodClosed has no field 'seq'"):
        _ = error.seq


def test_field_errors_are_kept_in_order():
    first = FieldError("/a", "required", "This field is required.")
    second = FieldError("", "invalid", "Nothing fits.")
    error = ValidationFailed(errors=[first, second])
    assert error.errors == (first, second)
    assert str(error) == ("validation_failed (/a: This field is required., /: Nothing fits.)")


def test_a_family_can_be_caught_for_all_its_members():
    with pytest.raises(Conflict):
        raise errors.IdempotencyMismatch()
