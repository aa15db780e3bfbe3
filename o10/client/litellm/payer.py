"""For which use case does a proxied request spend, and what else is known of it?

Who administers the proxy decides who pays: what stands in the metadata of the key or the team,
or in the guard's own mapping, is stronger than what the request says. A request may choose only
where nobody decided, or among the use cases it was given.
Source: docs/manual/litellm.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from o10.wire.fields import MAX_TAGS, is_label
from o10.wire.reasons import Reason

PREFIX: Final = "o10_"
_LONGEST_NAME: Final = 128
_LONGEST_WORD: Final = 64
_WORDS: Final = (
    "task_type",
    "mode",
    "service_class",
    "data_class",
    "region",
    "environment",
    "step_kind",
)
_LABELS: Final = ("prompt_version",)
_NAMES: Final = ("run_id", "step_fingerprint", "customer", "venue")
_NUMBERS: Final = ("reasoning_depth", "latency_slo_ms", "step", "driver_units", "ttl_s")
_TRUTHS: Final = ("zero_retention", "structured_output")
_YES = frozenset({"true", "1", "yes"})
_NO = frozenset({"false", "0", "no"})


SAID: Final = frozenset(
    {
        "tags",
        *(
            PREFIX + name
            for name in ("use_case", *_WORDS, *_LABELS, *_NAMES, *_NUMBERS, *_TRUTHS)
        ),
    }
)
"""Every name in the metadata of a request that says something to the guard."""


class KeyFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What does the proxy know of the key that was used? Empty = not known."""

    key_hash: str = ""
    key_alias: str = ""
    user_id: str = ""
    team_id: str = ""
    team_alias: str = ""
    end_user: str = ""
    key_metadata: Mapping[str, Any] = {}
    team_metadata: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Refused:
    """Why is no use case found? Told without asking o10."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Payers:
    """Which use case pays for which key?

    Shape: `use_cases` maps `key:<alias or hash>`, `user:<id>`, `team:<id or alias>` or
    `model:<name>` to a slug, or to several the request chooses among (the first by default).
    `default` for requests nobody decided for; without it they are refused.
    """

    use_cases: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    default: str | None = None

    def use_case_of(
        self, *, key: KeyFacts, said: Mapping[str, Any], model: str
    ) -> str | Refused:
        """Which use case pays?"""
        wanted = said.get(f"{PREFIX}use_case")
        given = self._given(key, model)
        if given:
            if not isinstance(wanted, str) or not wanted:
                return given[0]
            if wanted in given:
                return wanted
            return Refused(
                Reason.KEY_NOT_SCOPED,
                "The request names a use case that this key of the proxy does not spend for.",
            )
        if isinstance(wanted, str) and 0 < len(wanted) <= _LONGEST_NAME:
            return wanted
        if self.default:
            return self.default
        return Refused(
            Reason.USE_CASE_UNKNOWN,
            "Nobody said which use case pays: send metadata.o10_use_case, or map the key.",
        )

    def _given(self, key: KeyFacts, model: str) -> tuple[str, ...]:
        for metadata in (key.key_metadata, key.team_metadata):
            found = _slugs(metadata.get(f"{PREFIX}use_case"))
            if found:
                return found
        for name in _names_of(key, model):
            found = _slugs(self.use_cases.get(name))
            if found:
                return found
        return ()


def _names_of(key: KeyFacts, model: str) -> Iterable[str]:
    pairs = (
        ("key", key.key_alias),
        ("key", key.key_hash),
        ("user", key.user_id),
        ("team", key.team_id),
        ("team", key.team_alias),
        ("model", model),
    )
    return (f"{kind}:{value}" for kind, value in pairs if value)


def _slugs(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list | tuple):
        return ()
    return tuple(each.strip() for each in value if isinstance(each, str) and each.strip())


def described(said: Mapping[str, Any], key: KeyFacts) -> dict[str, Any]:
    """Which further fields of `Authorize` does the metadata fill (`o10_<field>`)?

    Values that do not fit are left out rather than refused: OpenAI clients send text only.
    """
    fields: dict[str, Any] = {}
    if not said and not key.end_user:
        return fields
    for names, read in (
        (_WORDS, _word),
        (_LABELS, _label),
        (_NAMES, _name),
        (_NUMBERS, _number),
        (_TRUTHS, _truth),
    ):
        for name in names:
            value = read(said.get(PREFIX + name))
            if value is not None:
                fields[name] = value
    customer = _name(key.end_user)
    if customer is not None:
        fields.setdefault("customer", customer)
    tags = tags_of(said.get("tags"))
    if tags:
        fields["tags"] = tags
    return fields


def tags_of(value: Any) -> dict[str, str]:
    """Which tags are these? LiteLLM's are a list of words, `name:value` among them."""
    if isinstance(value, Mapping):
        pairs = [(str(name), str(each)) for name, each in value.items()]
    elif isinstance(value, list | tuple):
        pairs = []
        for each in value:
            if isinstance(each, str):
                name, _, rest = each.partition(":")
                pairs.append((name.strip(), rest.strip()))
    else:
        return {}
    fitting = [(name, text) for name, text in pairs if _word(name) and _fits(text)]
    return dict(fitting[:MAX_TAGS])


def _fits(text: str) -> bool:
    return len(text) <= _LONGEST_WORD and (not text or text.isprintable())


def _name(value: Any) -> str | None:
    if isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable():
        return value
    return None


def _word(value: Any) -> str | None:
    found = _name(value)
    return found if found is not None and len(found) <= _LONGEST_WORD else None


def _label(value: Any) -> str | None:
    """A version with a sentence in it is none: its call would be refused."""
    return value if isinstance(value, str) and is_label(value) else None


def _number(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return None


def _truth(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        if value.lower() in _YES:
            return True
        if value.lower() in _NO:
            return False
    return None
