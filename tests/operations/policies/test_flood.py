"""Are many equal denials one entry a second, and none of them lost?"""

from datetime import timedelta

import pytest

from policies import facade as policies
from policies.models import DecisionLog

from .company import NOW, ask, entries, make_caller, make_tree

pytestmark = pytest.mark.usefixtures("sound")
DENY = 15


def denials():
    return entries(kind=DENY)


def test_beyond_ten_a_second_denials_are_folded_into_one_entry_with_n():
    make_tree(use_case=0)
    for number in range(50):
        ask(now=NOW + timedelta(milliseconds=number))
    assert len(denials()) == 10
    assert DecisionLog.objects.filter(folded=True, entry_uid=None).count() == 40
    assert policies.fold_denials(now=NOW + timedelta(seconds=5)) == 40
    assert [each.n for each in denials()] == [1] * 10 + [40]
    assert policies.fold_denials(now=NOW + timedelta(seconds=6)) == 0
    assert sum(each.n for each in denials()) == DecisionLog.objects.count() == 50


def test_a_second_is_folded_once_it_is_over():
    make_tree(use_case=0)
    for _ in range(12):
        ask()
    assert policies.fold_denials(now=NOW + timedelta(seconds=2)) == 0
    assert policies.fold_denials(now=NOW + timedelta(seconds=3)) == 0
    assert policies.fold_denials(now=NOW + timedelta(seconds=4)) == 2


def test_rows_that_come_late_get_a_further_entry():
    make_tree(use_case=0)
    for _ in range(12):
        ask()
    policies.fold_denials(now=NOW + timedelta(seconds=5))
    ask()
    assert policies.fold_denials(now=NOW + timedelta(seconds=6)) == 1
    assert [each.n for each in denials()] == [1] * 10 + [2, 1]


def test_each_key_reason_and_second_has_ten_of_its_own():
    make_tree(use_case=0)
    for _ in range(11):
        ask()
        ask(caller=make_caller(key="key_other"))
        ask(model="nobody/knows")
        ask(now=NOW + timedelta(seconds=1))
    assert len(denials()) == 40
    assert policies.fold_denials(now=NOW + timedelta(seconds=9)) == 4


def test_a_folded_denial_is_repeated_byte_for_byte_too():
    make_tree(use_case=0)
    for number in range(11):
        last = ask(request_id=f"r{number}")
    assert ask(request_id="r10", now=NOW + timedelta(minutes=2)) == last
