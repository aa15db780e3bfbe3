"""Are public traces read whole, and are strange files refused with their line?"""

import gzip
from pathlib import Path

import pytest

from o10.kernel.errors import ValidationFailed
from o10.management.traces import read_trace


def test_the_azure_trace_is_read_whole(shared_data: Path) -> None:
    calls = list(read_trace(shared_data / "traces" / "azure_llm_2023_conv.csv.gz"))
    assert len(calls) == 19_366
    assert sum(call.input_tokens for call in calls) == 22_361_870
    assert sum(call.output_tokens for call in calls) == 4_088_665
    assert calls[0].at_seconds == 0


def test_the_mooncake_trace_carries_cached_tokens(shared_data: Path) -> None:
    calls = list(read_trace(shared_data / "traces" / "mooncake_conversation.csv.gz"))
    assert len(calls) == 12_031
    assert sum(call.input_tokens for call in calls) == 144_793_823
    assert sum(call.cached_input_tokens for call in calls) == 54_098_411
    assert sum(call.output_tokens for call in calls) == 4_122_048


def test_servegen_hours_keep_their_totals(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text("model,client,hour,requests,input_tokens,output_tokens\nm,0,0,3,10,5\n")
    calls = list(read_trace(path))
    assert [call.input_tokens for call in calls] == [4, 3, 3]
    assert sum(call.output_tokens for call in calls) == 5


def test_burstgpt_columns_are_read_from_gzip(tmp_path: Path) -> None:
    path = tmp_path / "burst.csv.gz"
    text = (
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        "5,ChatGPT,472,18,490,Conversation log\n"
        "45.5,ChatGPT,1087,230,1317,Conversation log\n"
    )
    path.write_bytes(gzip.compress(text.encode()))
    calls = list(read_trace(path))
    assert [(call.at_seconds, call.input_tokens) for call in calls] == [(0, 472), (40.5, 1087)]


def test_an_unknown_header_names_the_known_ones(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValidationFailed) as caught:
        list(read_trace(path))
    assert "ContextTokens" in caught.value.errors[0].message


def test_a_bad_row_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2023-11-16 18:15:46.6805900,374,44\n"
        "2023-11-16 18:15:47.0000000,many,44\n"
    )
    with pytest.raises(ValidationFailed) as caught:
        list(read_trace(path))
    assert caught.value.errors[0].pointer == "/3"
