"""Which invented values fill the gallery? One company and one moment, no database."""

from datetime import UTC, datetime

AT = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
USD = 10**9
HOSTILE = "<script>alert('x')</script><b style=\"color:red\">&\"'"
LONG = "Customer correspondence classification and routing assistant for regulated markets " * 3

NAV = [
    {"label": "Overview", "url": "/", "icon": "overview", "group": "", "keys": "g o"},
    {
        "label": "Use cases",
        "url": "/use-cases/",
        "icon": "use-cases",
        "group": "",
        "keys": "g u",
    },
    {
        "label": "Envelopes",
        "url": "/envelopes/",
        "icon": "envelopes",
        "group": "",
        "keys": "g e",
    },
    {"label": "Ledger", "url": "/ledger/", "icon": "ledger", "group": "", "keys": "g l"},
    {"label": "Decisions", "url": "/d/", "icon": "policies", "group": "Control", "keys": "g p"},
    {"label": "Approvals", "url": "/a/", "icon": "approvals", "group": "Control", "count": 3},
    {"label": "Imports", "url": "/i/", "icon": "imports", "group": "Govern", "keys": ""},
]

SEAL = {
    "state": "verified",
    "entries": 4_812_337,
    "age": "2 min ago",
    "newest_at": AT,
    "head": "9f3c0a41b2d94e6f8e71a5c3d2b1e0f99f3c0a41b2d94e6f8e71a5c3d2b1e71a",
    "proof_url": "/ledger/verify/",
}
BROKEN = SEAL | {
    "state": "broken",
    "detail": "Entry 4,812,304: amount 28,760,001 nanos, sealed 28,760,000.",
}

BAR = {
    "period": {
        "label": "Nov 2026",
        "detail": "day 21 of 30",
        "choices": [
            {"label": "November 2026", "url": "?p=2026-11", "current": True, "detail": "open"},
            {"label": "October 2026", "url": "?p=2026-10", "current": False},
            {"label": "Q4 2026", "url": "?p=2026-Q4", "current": False},
        ],
    },
    "compare": [
        {"label": "Plan", "url": "?", "current": True},
        {"label": "Prior year", "url": "?cmp=py", "current": False},
    ],
    "filters": [{"label": "Environment", "value": "production", "remove_url": "?"}],
    "add_filter": {
        "action": "",
        "hidden": [("p", "2026-11")],
        "choices": [
            {
                "label": "Department",
                "options": [{"value": "department:cx", "label": "CX"}],
            }
        ],
    },
    "copy": {"live_url": "/?p=2026-11", "frozen_url": "/?as_of=4812337", "seq": 4_812_337},
    "exports": [{"label": "CSV", "url": "/.csv"}, {"label": "XLSX", "url": "/.xlsx"}],
}

FRAME = {
    "nav": NAV,
    "organisation": {
        "name": "Northwind Bank",
        "detail": "Production · USD",
        "links": [{"label": "Settings", "url": "/settings/"}],
    },
    "person": {"name": "A. Lindqvist", "role": "cfo", "sign_out_url": "/sign-out/"},
    "seal": SEAL,
    "seal_poll_url": "",
    "demo": False,
    "search_url": "/ledger/",
    "bar": BAR,
    "stamp": {"seq": 4_812_337, "at": AT},
    "csrf_token": "token",
}

HEAD = {
    "headline": "November will land $29,190 over plan. Two use cases cause it.",
    "subline": "Support assistant and Agent · collections add $30,700; the other seven give "
    "back $1,510 net. Each can be held with one decision below.",
    "primary": {"label": "Build board pack", "url": "/reports/"},
}

COURSE = [5, 6, 6, 8, 9, 8, 10, 11, 11, 13, 12, 14, 15, 14, 16, 17, 17, 19, 18, 20, 21]

KPIS = [
    {
        "label": "Spent, month to date",
        "value": "$293,590",
        "delta": {
            "text": "+$8,200 (+2.9%) ΔPL",
            "tone": "adverse",
            "up": True,
            "word": "adverse",
        },
        "spark": [*COURSE, 22, 23, 24],
        "forecast": 3,
    },
    {
        "label": "Forecast, November",
        "value": "$395,490",
        "note": "demand $414,390, $18,900 unserved",
        "spark": COURSE[::-1],
    },
    {
        "label": "Left of $417,000",
        "value": "$113,520",
        "note": "Held $8,330, Unsettled $140",
        "href": "/envelopes/",
        "spark": COURSE[::-1],
    },
    {
        "label": "Cost per resolved ticket",
        "value": "$0.214",
        "delta": {
            "text": "+$0.016 (+8.1%) ΔOct",
            "tone": "adverse",
            "up": True,
            "word": "adverse",
        },
        "spark": [3, 9, 4, 8, None, 5, 7, 6, 9, 8],
    },
    {
        "label": "Verified savings, shadow",
        "value": "$61.9k",
        "unit": "/mo",
        "delta": {
            "text": "−14.9% of routed spend",
            "tone": "favourable",
            "up": False,
            "word": "favourable",
        },
        "spark": COURSE,
    },
    {"label": "KYI composite", "value": None, "note": "not measured in Sandbox"},
]

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
ACTUAL = [205, 219, 251, 249, 274, 301, 294, 322, 351, 372]
PLAN = [212, 224, 240, 255, 268, 284, 300, 318, 338, 360, 385, 402]
FORECAST = [None] * 10 + [395, 403]

CHART = {
    "id": "spend-by-month",
    "title": "October closed 12 over plan; November follows",
    "subtitle": "Spent against plan, USD thousands, months of 2026",
    "summary": "Spent against plan by month of 2026. October 372 of 360 thousand dollars.",
    "legend": [
        {"mark": "ac", "label": "AC"},
        {"mark": "fc", "label": "FC"},
        {"mark": "pl", "label": "PL"},
    ],
    "figure": {
        "data": [
            {
                "type": "bar",
                "x": MONTHS,
                "y": PLAN,
                "meta": {"role": "pl"},
                "name": "PL",
                "width": 0.52,
                "offset": -0.16,
                "hovertemplate": "PL %{y}<extra></extra>",
            },
            {
                "type": "bar",
                "x": MONTHS[:10],
                "y": ACTUAL,
                "meta": {"role": "ac"},
                "name": "AC",
                "width": 0.52,
                "offset": -0.36,
                "text": ACTUAL,
                "textposition": "outside",
                "cliponaxis": False,
                "customdata": ["/use-cases/?p=2026-01"] * 10,
                "hovertemplate": "AC %{y}<extra></extra>",
            },
            {
                "type": "bar",
                "x": MONTHS,
                "y": FORECAST,
                "meta": {"role": "fc"},
                "name": "FC",
                "width": 0.52,
                "offset": -0.36,
                "text": FORECAST,
                "textposition": "outside",
                "hovertemplate": "FC %{y}<extra></extra>",
            },
            {
                "type": "bar",
                "x": MONTHS,
                "yaxis": "y2",
                "y": [a - p for a, p in zip(ACTUAL + [395, 403], PLAN, strict=True)],
                "meta": {
                    "role": "variance",
                    "tones": [
                        "favourable",
                        "favourable",
                        "adverse",
                        "favourable",
                        "neutral",
                        "adverse",
                        "favourable",
                        "neutral",
                        "adverse",
                        "adverse",
                        "adverse",
                        "neutral",
                    ],
                },
                "width": 0.4,
                "text": [
                    "−7",
                    "−5",
                    "+11",
                    "−6",
                    "+6",
                    "+17",
                    "−6",
                    "+4",
                    "+13",
                    "+12",
                    "+10",
                    "+1",
                ],
                "textposition": "outside",
                "cliponaxis": False,
                "hovertemplate": "ΔPL %{y}<extra></extra>",
            },
        ],
        "layout": {
            "barmode": "overlay",
            "yaxis": {
                "domain": [0, 0.72],
                "rangemode": "tozero",
                "nticks": 4,
                "ticksuffix": "k",
                "tickprefix": "$",
            },
            "yaxis2": {
                "domain": [0.8, 1],
                "showticklabels": False,
                "showgrid": False,
                "anchor": "x",
            },
            "xaxis": {"showgrid": False, "anchor": "y"},
        },
    },
    "table": {
        "columns": [
            {"label": "Month"},
            {"label": "AC", "num": True},
            {"label": "PL", "num": True},
        ],
        "rows": [[m, str(a), str(p)] for m, a, p in zip(MONTHS, ACTUAL, PLAN, strict=False)],
    },
}


def _row(name, owner, volume, spent, held, forecast, cap, plan, cost, unit, quality, mode):
    return {
        "name": name,
        "owner": owner,
        "volume": volume,
        "spent": spent * USD,
        "held": held * USD,
        "forecast": forecast * USD,
        "cap": cap * USD,
        "plan": plan * USD,
        "cost": cost,
        "unit": unit,
        "quality": quality,
        "mode": mode,
        "label": f"Spent ${spent:,}, Held ${held:,} of cap ${cap:,}",
    }


USE_CASES = [
    _row(
        "Support assistant",
        "CX · M. Okafor",
        "412k tickets",
        96_420,
        3_180,
        131_900,
        120_000,
        112_000,
        214_000_000,
        "resolved ticket",
        "91 / 88",
        "enforce",
    ),
    _row(
        "Agent · collections",
        "CX · M. Okafor",
        "58k loops",
        14_730,
        1_690,
        22_800,
        18_000,
        12_000,
        254_000_000,
        "kept promise",
        "71 / 75",
        "capped",
    ),
    _row(
        "Code completion",
        "Eng · R. Patel",
        "2,140 devs",
        52_880,
        980,
        76_900,
        75_000,
        70_000,
        24_710_000_000,
        "active dev",
        "84 / 80",
        "shadow",
    ),
    _row(
        "Sandbox / unallocated",
        "FinOps",
        None,
        2_110,
        0,
        2_990,
        3_000,
        3_000,
        None,
        "",
        None,
        "watch",
    ),
    _row(
        "Meeting summaries",
        "HR · T. Novak",
        "96k hours",
        9_410,
        120,
        13_300,
        15_000,
        14_000,
        98_000_000,
        "summary read",
        "88 / 80",
        "enforce",
    ),
    _row(
        "RAG · policy search",
        "Legal · J. Lind",
        "1.9M queries",
        61_210,
        1_420,
        86_400,
        95_000,
        88_000,
        32_000_000,
        "answered query",
        "86 / 82",
        "enforce",
    ),
]
USE_CASE_COLUMNS = [
    {"label": "Use case", "sort": {"url": "?sort=name", "state": ""}},
    {"label": "Driver volume", "num": True},
    {"label": "Spent", "num": True, "sort": {"url": "?sort=spent", "state": ""}},
    {"label": "Envelope use"},
    {"label": "FC month", "num": True},
    {"label": "ΔPL", "num": True, "sort": {"url": "?sort=var", "state": "descending"}},
    {"label": "Cost per outcome", "num": True},
    {
        "label": "Quality / floor",
        "num": True,
        "hint": "score of the newest run against the floor",
    },
    {"label": "Mode"},
]


def _env(name, kind, level, cap, spent, held, unsettled, left, binding, **more):
    return {
        "name": name,
        "kind": kind,
        "url": "/envelopes/env_1/",
        "level": level,
        "cap": cap,
        "spent": spent * USD,
        "held": held * USD,
        "unsettled": unsettled * USD,
        "left": left * USD,
        "resets": "1 Dec 05:00 UTC",
        "binding": binding,
        "label": f"Spent ${spent:,}",
        **more,
    }


ENVELOPES = [
    _env(
        "Northwind Bank",
        "company",
        0,
        417_000 * USD,
        293_590,
        8_330,
        140,
        114_940,
        "not reached",
        action={"label": "Freeze…", "url": "#"},
    ),
    _env(
        "CX",
        "department",
        1,
        138_000 * USD,
        111_150,
        4_870,
        0,
        21_980,
        "own cap, next",
        action={"label": "Raise", "url": "#"},
    ),
    _env(
        "Support assistant",
        "use case",
        2,
        120_000 * USD,
        96_420,
        3_180,
        0,
        20_400,
        "binds first",
        binds=True,
        current=True,
        spent_url="/ledger/",
        held_url="/ledger/",
        action={"label": "Raise", "url": "#"},
    ),
    _env("production", "environment", 3, None, 90_000, 3_100, 0, 20_400, "Support assistant"),
    _env(
        "Agent · collections",
        "use case",
        2,
        18_000 * USD,
        17_730,
        690,
        0,
        -420,
        "own cap, over",
        binds=True,
        over=True,
        action={"label": "Lower", "url": "#"},
    ),
    _env(
        "RAG · policy search",
        "Legal",
        1,
        95_000 * USD,
        61_210,
        1_420,
        140,
        32_230,
        "own cap",
        action={"label": "Move out", "url": "#"},
    ),
]

LEAF = "9f3c" + "0a41b2d94e6f8e71a5c3d2b1e0f9" * 2 + "e71a"
LINKS = [
    {
        "seq": 4_812_302 + n,
        "kind": kind,
        "title": title,
        "amount": amount,
        "leaf": LEAF[n:] + "ab",
        "chain": LEAF[n + 3 :] + "cd",
        "url": f"/ledger/{4_812_302 + n}/",
        "here": n == 2,
    }
    for n, (kind, title, amount) in enumerate(
        [
            ("settle", "RAG · policy search", "+$0.024113500"),
            ("settle", "KYC document extract", "+$0.086940000"),
            ("settle", "RAG · policy search", "+$0.028760000"),
            ("reversal", "reverses 4,811,902", "−$0.029411250"),
            ("settle", "Code completion", "+$0.073185500"),
        ]
    )
]
STEPS = [
    {"side": "L", "first": 4_812_303, "last": 4_812_303, "hash": LEAF},
    {"side": "L", "first": 4_812_301, "last": 4_812_302, "hash": LEAF[2:]},
    {"side": "R", "first": 4_812_305, "last": 4_812_320, "hash": LEAF[4:]},
    {"side": "R", "first": 4_812_321, "last": 4_812_337, "hash": LEAF[6:]},
    {"side": "L", "first": 1, "last": 4_194_304, "hash": LEAF[8:]},
]
ENTRIES = [
    {
        "seq": 4_812_307,
        "time": "04:59:50.905",
        "kind": "settle",
        "model": "alder-4-mini",
        "venue": "Alder API eu-west",
        "tokens": 6_100,
        "amount": 10_218_500,
        "decision": "allow",
        "reason": "OK_WITHIN_ENVELOPE",
        "leaf": LEAF,
    },
    {
        "seq": 4_812_305,
        "time": "04:59:49.698",
        "kind": "reversal",
        "model": "alder-4-large",
        "venue": "Alder API eu-west",
        "tokens": -8_800,
        "amount": -29_411_250,
        "decision": "",
        "reason": "",
        "leaf": LEAF[5:],
    },
    {
        "seq": 4_812_304,
        "time": "04:59:49.640",
        "kind": "settle",
        "model": "alder-4-large",
        "venue": "Alder API eu-west",
        "tokens": 9_602,
        "amount": 28_760_000,
        "decision": "reroute",
        "reason": "RIGHTSIZED",
        "leaf": LEAF[3:],
        "here": True,
    },
    {
        "seq": 4_812_302,
        "time": "04:59:49.314",
        "kind": "settle",
        "model": "alder-4-large",
        "venue": "Alder API eu-west",
        "tokens": 8_200,
        "amount": 24_113_500,
        "decision": "allow_with_caps",
        "reason": "CAPPED_TOKENS",
        "leaf": LEAF[1:],
    },
    {
        "seq": 4_812_300,
        "time": "04:59:48.877",
        "kind": "deny",
        "model": "",
        "venue": "none served",
        "tokens": 0,
        "amount": 0,
        "decision": "deny",
        "reason": "ENVELOPE_HARD_LIMIT",
        "leaf": LEAF[7:],
    },
]
ENTRY_COLUMNS = [
    {"label": "Entry", "sort": {"url": "?sort=seq", "state": "descending"}},
    {"label": "Recorded, UTC"},
    {"label": "Kind"},
    {"label": "Model served · venue"},
    {"label": "Tokens", "num": True},
    {"label": "Amount, USD", "num": True},
    {"label": "Decision"},
    {"label": "Reason"},
    {"label": "Leaf"},
]
PRICE_LINES = [
    {"name": "Input, uncached", "tokens": 3_180, "rate": 2_500_000_000, "amount": 7_950_000},
    {"name": "Input, cache read", "tokens": 5_120, "rate": 250_000_000, "amount": 1_280_000},
    {"name": "Output, text", "tokens": 890, "rate": 15_000_000_000, "amount": 13_350_000},
    {"name": "Output, reasoning", "tokens": 412, "rate": 15_000_000_000, "amount": 6_180_000},
]
FACTS = [
    {"term": "Price rule", "text": "contract, Alder 2026, from 1 Jul"},
    {"term": "Decision", "text": "dec_7a31…90c4", "href": "/policies/decisions/dec_1/"},
    {"term": "Because", "reason": "RIGHTSIZED"},
    {"term": "Mode", "status": "enforce"},
    {"term": "Leaf", "hash": LEAF},
    {"term": "Verify", "code": "o10 ledger_verify --full"},
    {"term": "Quality", "text": None},
]
DECISION_CARDS = [
    {
        "title": "Raise envelope: Support assistant",
        "effect": "+$15,000",
        "text": "Runs out on 27 Nov at the current rate. M. Okafor asks for $135,000.",
        "actions": [
            {"label": "Approve…", "url": "#", "primary": False},
            {"label": "Decline", "url": "#"},
        ],
    },
    {
        "title": "Enforce routing: Code completion",
        "effect": "−$18,400/mo",
        "tone": "favourable",
        "text": "14 days of shadow: 96.8% of calls clear the floor on a cheaper model.",
        "actions": [{"label": "See evidence", "url": "#"}],
    },
]
LIMITS = [
    {
        "name": "Agent · collections",
        "url": "#",
        "text": "−$420 left",
        "cap": 18_000,
        "spent": 17_730,
        "held": 690,
        "unsettled": 0,
        "tone": "adverse",
        "label": "over the cap",
    },
    {
        "name": "Support assistant",
        "url": "#",
        "text": "$20,400 left",
        "cap": 120_000,
        "spent": 96_420,
        "held": 3_180,
        "unsettled": 0,
        "label": "83 % used",
    },
]
DIFF = [
    {"sign": "-", "text": "mode      shadow"},
    {"sign": "+", "text": "mode      canary 5%, then ramp to enforce by its gates"},
    {"sign": " ", "text": "floor     code-suite v9 ≥ 80.0, n ≥ 200, 7 d"},
]
