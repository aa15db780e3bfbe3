import io
import json
import logging

import pytest
import structlog

from o10 import telemetry
from o10.telemetry import DECISIONS, METRICS, REDACTED, SEAL_LAG, LogForm, MetricName, Sample

TOKEN = (
    "AQAHAaH4SQAAcACAAAAAAAAACgAAAAAAAAE2AAAAAABGCbAAAAAMAAABofhTvYAAAAMgYx68K1GJxGwK0iTKIFlgnQ"
)
ROUTER_KEY = "o10_8fJk2Lm9QwErTyUiOpAsDfGh"


@pytest.fixture
def log(monkeypatch):
    """A JSON log into memory; the root logger is as before afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    telemetry.configure_logging(form=LogForm.JSON)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_an_event_is_one_line_of_json_with_time_level_and_place(log):
    telemetry.get_logger("policies.settle").info("reservation_settled", cost_nanos=5)
    (line,) = log()
    assert line.pop("at").endswith("Z")
    assert line == {
        "event": "reservation_settled",
        "cost_nanos": 5,
        "level": "info",
        "logger": "policies.settle",
    }


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "Authorization",
        "HTTP_AUTHORIZATION",
        "token",
        "reservation_token",
        "tokens",
        "password",
        "secret_key",
        "SECRET_KEY",
        "api_key",
        "apikey",
        "api-key",
        "x-api-key",
        "private_key",
        "cookie",
        "Set-Cookie",
        "sessionid",
        "csrfmiddlewaretoken",
        "prompt",
        "messages",
        "O10_DATABASE_URL",
    ],
)
def test_secrets_by_name_never_reach_the_log(log, name):
    telemetry.get_logger("x").warning("request_failed", **{name: "hush"})
    telemetry.get_logger("x").warning("request_failed", headers={name: ["hush"]})
    first, second = log()
    assert first[name] == REDACTED
    assert second["headers"] == {name: REDACTED}


@pytest.mark.parametrize(
    "text",
    [
        f"Bearer {ROUTER_KEY}",
        f"key {ROUTER_KEY} refused",
        f"settle {TOKEN}",
        f"https://x/?reservation={TOKEN}&a=1",
        "sk-proj-abcdefghijklmnop",
        "postgresql://o10_app:hunter2hunter2@localhost/o10",
        "Authorization: Basic aHVudGVyMg==",
    ],
)
def test_secrets_by_shape_never_reach_the_log_wherever_they_stand(log, text):
    class Quoting:
        def __repr__(self):
            return text

    logger = telemetry.get_logger("x")
    logger.error("failed", detail=text, deep={"a": [{"b": (text,)}]}, thing=Quoting())
    logging.getLogger("django.request").error("failed: %s", text)
    try:
        raise ValueError(text)
    except ValueError:
        logger.exception("failed")
    lines = json.dumps(log())
    assert lines.count(REDACTED) >= 5
    for secret in (
        ROUTER_KEY,
        TOKEN,
        "hunter2hunter2",
        "aHVudGVyMg",
        "sk-proj-abcdefghijklmnop",
    ):
        assert secret not in lines


def test_counts_of_tokens_are_business_and_stay(log):
    telemetry.get_logger("x").info(
        "call_settled", input_tokens=5, max_output_tokens=800, prompt_version="v7"
    )
    (line,) = log()
    assert (line["input_tokens"], line["max_output_tokens"]) == (5, 800)
    assert line["prompt_version"] == "v7"


def test_a_count_that_is_a_text_is_no_count(log):
    telemetry.get_logger("x").info("call_settled", input_tokens="the prompt itself")
    assert log()[0]["input_tokens"] == REDACTED


def test_events_of_libraries_pass_the_same_redaction(log):
    logging.getLogger("celery").warning("retry", extra={"password": "hush", "queue": "seal"})
    (line,) = log()
    assert (line["password"], line["queue"], line["logger"]) == (REDACTED, "seal", "celery")


def test_a_request_id_bound_once_is_on_every_line(log):
    structlog.contextvars.bind_contextvars(request_id="r-1")
    telemetry.get_logger("x").info("one")
    logging.getLogger("y").warning("two")
    assert [line["request_id"] for line in log()] == ["r-1", "r-1"]


def test_configuring_twice_does_not_write_twice(monkeypatch, log):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    telemetry.configure_logging(form=LogForm.JSON)
    telemetry.get_logger("x").info("one")
    assert len(stream.getvalue().splitlines()) == 1
    assert log() == []


def test_a_terminal_gets_text(monkeypatch, log):
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", stream)
    telemetry.configure_logging()
    telemetry.get_logger("x").info("reservation_settled", token="hush", cost_nanos=5)
    written = stream.getvalue()
    assert "reservation_settled" in written
    assert "hush" not in written
    with pytest.raises(json.JSONDecodeError):
        json.loads(written)


def test_metrics_have_unique_names_with_their_unit_last():
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    units = ("_total", "_seconds", "_entries", "_nanos", "_ratio", "_depth", "_intact")
    units += ("_holders", "_records", "_invariants")
    assert all(name.startswith("o10_") and name.endswith(units) for name in names)


def test_samples_are_written_in_the_text_format():
    text = telemetry.exposition(
        [
            Sample(SEAL_LAG, 0.25),
            Sample(DECISIONS, 5, ("allow", "OK_WITHIN_ENVELOPE")),
            Sample(DECISIONS, 2, ("deny", "ENVELOPE_HARD_LIMIT")),
        ]
    ).decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines == [
        'o10_decisions_total{decision="allow",reason="OK_WITHIN_ENVELOPE"} 5.0',
        'o10_decisions_total{decision="deny",reason="ENVELOPE_HARD_LIMIT"} 2.0',
        "o10_seal_lag_seconds 0.25",
    ]


@pytest.mark.parametrize(
    "sample",
    [
        Sample(DECISIONS, 1),
        Sample(SEAL_LAG, 1, ("x",)),
        Sample(MetricName("o10_other", telemetry.MetricKind.GAUGE, "Other."), 1),
    ],
)
def test_a_sample_of_no_metric_is_a_bug(sample):
    with pytest.raises(ValueError, match="no such metric"):
        telemetry.exposition([sample])
