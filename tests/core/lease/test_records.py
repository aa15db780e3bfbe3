"""Does every record come back as it was written, and does order stay format?"""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o10.lease import records
from tests.core.lease.examples import EVERY_RECORD, RECORDS


@pytest.mark.parametrize("record", EVERY_RECORD, ids=lambda record: type(record).__name__)
def test_a_record_comes_back_as_it_was(record):
    assert records.decode(records.encode(record)) == record


@given(RECORDS)
def test_any_record_comes_back_as_it_was(record):
    payload = records.encode(record)
    assert records.decode(payload) == record
    assert records.decode(memoryview(payload)) == record


def test_every_kind_of_record_has_an_example():
    kinds = {type(record) for record in EVERY_RECORD}
    assert kinds == set(records.Record.__args__)


def test_numbers_and_order_of_the_fields_are_format():
    # Whoever changes this list changes the format: fields are only ever added at the end.
    shapes = {
        kind.__struct_config__.tag: (kind.__name__, len(kind.__struct_fields__))
        for kind in records.Record.__args__
    }
    assert shapes == {
        1: ("Started", 6),
        2: ("Grounds", 22),
        3: ("Seen", 3),
        4: ("Reserved", 13),
        5: ("Settled", 13),
        6: ("Released", 9),
        7: ("Denied", 24),
        8: ("GivenBack", 3),
        9: ("Ended", 1),
    }
    assert msgspec.msgpack.decode(records.encode(EVERY_RECORD[-1])) == [
        9,
        EVERY_RECORD[-1].at_us,
    ]


@given(st.binary(max_size=60))
def test_foreign_bytes_are_no_record(payload):
    try:
        record = records.decode(payload)
    except msgspec.DecodeError:
        return
    assert records.decode(records.encode(record)) == record
