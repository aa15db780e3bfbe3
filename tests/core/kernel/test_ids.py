from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o10.kernel import clock, ids
from o10.kernel.ids import IdMalformed, id_of, new_id, new_uuid, uid, uuid_of
from tests.core.kernel.golden import golden

VECTORS = golden("ids")


@pytest.mark.parametrize("vector", VECTORS["typeid"]["vectors"], ids=lambda v: v["text"])
def test_ids_are_typeids(vector):
    text = f"rsv_{vector['text']}"
    assert id_of("rsv", UUID(vector["uuid"])) == text
    assert uuid_of(text) == UUID(vector["uuid"])


@pytest.mark.parametrize("vector", VECTORS["uid"]["vectors"], ids=lambda v: v["scope"])
def test_uids_reproduce_the_golden_vectors(vector):
    made = uid(scope=vector["scope"], key=vector["key"], origin_ms=vector["origin_ms"])
    assert str(made) == vector["uid"]


@given(st.uuids(), st.sampled_from(sorted(ids.PREFIXES)))
def test_an_id_names_its_uuid_and_nothing_else(uuid, prefix):
    assert uuid_of(id_of(prefix, uuid), prefix) == uuid


@given(st.uuids(), st.uuids())
def test_ids_sort_as_their_uuids(one, other):
    assert (id_of("ent", one) < id_of("ent", other)) == (one.int < other.int)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rsv_",
        "rsv_01h455vb4pex5vsknk084sn02",
        "rsv_01h455vb4pex5vsknk084sn02qq",
        "rsv_81h455vb4pex5vsknk084sn02q",
        "rsv_01H455VB4PEX5VSKNK084SN02Q",
        "rsv_01h455vb4pex5vsknk084sn02i",
        "rsv_01h455vb4pex5vsknk084sn02u",
        "xyz_01h455vb4pex5vsknk084sn02q",
        "rsv_01h455vb4pex5vsknk084sn02q\n",
        "rsv_０1h455vb4pex5vsknk084sn02q",
        "01890a5d-ac96-774b-bcce-b302099a8057",
    ],
)
def test_text_that_is_no_id_is_refused(text):
    with pytest.raises(IdMalformed) as caught:
        uuid_of(text)
    assert caught.value.errors[0].code == "id_malformed"


def test_an_id_of_another_kind_is_refused():
    with pytest.raises(IdMalformed) as caught:
        uuid_of("ent_01h455vb4pex5vsknk084sn02q", "rsv")
    assert caught.value.expected == "rsv"


def test_an_unknown_prefix_is_a_bug():
    with pytest.raises(KeyError):
        new_id("foo")


def test_new_ids_are_uuid_7_of_the_present_and_sort_by_time(monkeypatch):
    start = datetime(2026, 11, 29, 23, 59, 59, 999_000, tzinfo=UTC)
    moments = [start + timedelta(microseconds=step) for step in (0, 1, 300, 999, 1000, 10**6)]
    made = []
    for moment in moments:
        monkeypatch.setattr(clock, "now", lambda moment=moment: moment)
        made.append(new_uuid())
    assert [each.version for each in made] == [7] * len(made)
    assert {each.variant for each in made} == {RFC_4122}
    assert [each.int >> 80 for each in made] == [clock.unix_ms(each) for each in moments]
    assert made == sorted(made)


def test_ids_of_one_instant_do_not_collide(monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 11, 20, tzinfo=UTC))
    assert len({new_id("ent") for _ in range(1000)}) == 1000


@given(st.text(max_size=50), st.integers(0, 2**48 - 1))
def test_a_uid_is_version_8_and_carries_its_origin(key, origin_ms):
    made = uid(scope="settle", key=key, origin_ms=origin_ms)
    assert (made.version, made.variant) == (8, RFC_4122)
    assert made.int >> 80 == origin_ms


def test_scope_and_key_can_not_be_shifted_into_each_other():
    assert uid(scope="a", key="b\nc", origin_ms=0) != uid(scope="a", key="bc", origin_ms=0)
    with pytest.raises(ValueError, match="one line"):
        uid(scope="a\nb", key="c", origin_ms=0)


def test_the_clock_is_utc_and_its_counts_are_exact():
    assert clock.now().tzinfo is UTC
    at = datetime(2026, 11, 20, 9, 30, 0, 250_999, tzinfo=UTC)
    assert clock.unix_ms(at) == 1_795_167_000_250
    assert clock.unix_us(at) == 1_795_167_000_250_999
    assert clock.unix_ms(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1
