"""Can everyone read every text on every ground it stands on? Recomputed from tokens.css."""

import re
from itertools import product
from pathlib import Path

import pytest

CSS = Path(__file__).resolve().parents[3] / "static/css/tokens.css"
_PAIR = re.compile(r"--([a-z0-9-]+):\s*light-dark\(#([0-9a-f]{6}),\s*#([0-9a-f]{6})\);")

# The design table: token, light, dark.
TABLE = {
    "bg": ("f6f7f9", "0d1117"),
    "surface": ("ffffff", "151b24"),
    "raised": ("fbfcfd", "1a212c"),
    "line": ("e3e7ed", "262f3c"),
    "line-2": ("cdd4de", "394558"),
    "line-control": ("7d899d", "66748d"),
    "ink": ("101828", "e9edf5"),
    "ink-2": ("475467", "a9b4c6"),
    "ink-3": ("5d6b82", "8b97ab"),
    "accent": ("2f4fd0", "8aa4ff"),
    "accent-tint": ("eaeefc", "1d2848"),
    "on-accent": ("ffffff", "0d1117"),
    "favourable": ("00704f", "3fcf9f"),
    "favourable-tint": ("e4f5ee", "10302a"),
    "adverse": ("b3390a", "ff8a5c"),
    "adverse-tint": ("fdece4", "3a2018"),
    "warn": ("7a4f00", "f2b632"),
    "warn-tint": ("fdf3d8", "33290f"),
    "ac": ("27364f", "c9d3e3"),
    "py": ("8793a7", "5a6880"),
    "series-1": ("2f4fd0", "8aa4ff"),
    "series-2": ("b88246", "f7bd86"),
    "series-3": ("07a48d", "84e7ea"),
    "series-4": ("6e0944", "da6889"),
    "series-5": ("8864ad", "9a76b2"),
    "series-6": ("333f03", "6d960f"),
}

TEXT, EDGE = 4.5, 3.0
GROUNDS = ("bg", "surface", "raised", "hover", "accent-tint")
PAIRS = [
    *[(text, ground, TEXT) for text, ground in product(("ink", "ink-2", "ink-3"), GROUNDS)],
    *[
        (text, ground, TEXT)
        for text, ground in product(
            ("accent", "favourable", "adverse", "warn"), ("bg", "surface", "raised", "hover")
        )
    ],
    *[(tone, f"{tone}-tint", TEXT) for tone in ("accent", "favourable", "adverse", "warn")],
    *[("ink", f"{tone}-tint", TEXT) for tone in ("favourable", "adverse", "warn")],
    # Deltas and warnings stand on chosen rows too.
    *[(tone, "accent-tint", TEXT) for tone in ("favourable", "adverse", "warn")],
    *[("on-accent", ground, TEXT) for ground in ("accent", "accent-strong", "adverse")],
    ("ink-2", "track", TEXT),
    *[("line-control", ground, EDGE) for ground in ("surface",)],
    *[(f"series-{n}", "surface", 3.1) for n in range(1, 7)],
    ("ac", "surface", EDGE),
    ("py", "surface", 3.0),
    ("ac", "track", EDGE),
]


def tokens() -> dict[str, tuple[str, str]]:
    return {name: (light, dark) for name, light, dark in _PAIR.findall(CSS.read_text())}


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_formula_gives_the_ends_of_its_scale() -> None:
    assert contrast("000000", "ffffff") == pytest.approx(21)
    assert contrast("777777", "777777") == 1


@pytest.mark.parametrize("name", TABLE)
def test_each_token_has_the_colours_of_the_design_table(name: str) -> None:
    assert tokens()[name] == TABLE[name]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("text", "ground", "least"), PAIRS)
def test_text_is_readable_on_its_ground(
    text: str, ground: str, least: float, theme: int
) -> None:
    known = tokens()
    got = contrast(known[text][theme], known[ground][theme])
    assert got >= least, f"{text} on {ground} is {got:.2f}, needs {least}"


def test_no_style_sheet_uses_a_colour_without_a_name() -> None:
    named = re.compile(r"#[0-9a-fA-F]{3,8}\b|rgba?\(|hsla?\(")
    for sheet in sorted(CSS.parent.glob("*.css")):
        if sheet.name == "tokens.css":
            continue
        rules = re.sub(r"/\*.*?\*/", "", sheet.read_text(), flags=re.S)
        printed = rules.partition("@media print")[0]
        assert not named.findall(printed), sheet.name


def test_every_colour_used_in_a_style_sheet_is_a_token() -> None:
    defined = set(re.findall(r"(--[a-z0-9-]+):", CSS.read_text())) | {"--tone", "--tone-tint"}
    for sheet in sorted(CSS.parent.glob("*.css")):
        used = set(re.findall(r"var\((--[a-z0-9-]+)", sheet.read_text()))
        assert used <= defined, (sheet.name, used - defined)
