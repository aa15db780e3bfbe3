"""Which tables has the ledger, and which of them may change?"""

from typing import Final

from ledger.models.anchor import Anchor
from ledger.models.checkpoint import Checkpoint
from ledger.models.commitment import CommitmentDay, CommitmentRow
from ledger.models.document import Document
from ledger.models.entry import Entry
from ledger.models.fx import FxRateRow
from ledger.models.idem import IdempotencyKey, Reversed
from ledger.models.imported import Import, ImportReject
from ledger.models.invoice import BookedDifference, Invoice, InvoiceLine
from ledger.models.ledger import Ledger
from ledger.models.period import Accrual, LedgerPeriod, PeriodBalance
from ledger.models.price import (
    PriceAlias,
    PriceOffer,
    PriceQuarantine,
    PriceRate,
    PriceRule,
    PriceVersion,
    PriceWithdrawal,
)
from ledger.models.price_proposal import (
    PriceConfirmation,
    PriceDismissal,
    PriceProposal,
    PriceProposalEnd,
    PriceRelease,
)
from ledger.models.registry import RegistryRow
from ledger.models.revaluation import Revaluation
from ledger.models.rollup import RollupDay, RollupHour
from ledger.models.seal import Seal, SealState
from ledger.models.tile import Tile
from ledger.models.verification import Verification

APPEND_ONLY: Final = frozenset(
    {
        "ledger_entry",
        "ledger_idem",
        "ledger_reversed",
        "ledger_document",
        "ledger_registry",
        "ledger_seal",
        "ledger_tile",
        "ledger_checkpoint",
        "ledger_anchor",
        "ledger_verification",
        "ledger_invoice",
        "ledger_invoice_line",
        "ledger_booked_difference",
        "ledger_period_balance",
        "ledger_accrual",
        "ledger_price_version",
        "ledger_price_offer",
        "ledger_price_alias",
        "ledger_price_rule",
        "ledger_price_rate",
        "ledger_price_withdrawal",
        "ledger_price_quarantine",
        "ledger_price_proposal",
        "ledger_price_proposal_end",
        "ledger_price_release",
        "ledger_price_dismissal",
        "ledger_price_confirmation",
        "ledger_fx_rate",
        "ledger_commitment",
        "ledger_commitment_day",
        "ledger_revaluation",
    }
)
"""Tables whose rows are final: no role may UPDATE, DELETE or TRUNCATE them."""

PERIOD_FROZEN: Final = frozenset({"ledger_period"})
"""Tables whose rows move one way and stand still once their period is closed."""

MUTABLE: Final = frozenset(
    {
        "ledger_ledger",
        "ledger_seal_state",
        "rollup_hour",
        "rollup_day",
        "ledger_import",
        "ledger_import_reject",
    }
)
"""Caches and settings; the caches are recomputed from entries by `ledger_verify`."""

SELF_GRANTED: Final = APPEND_ONLY | PERIOD_FROZEN | MUTABLE
"""Tables that migrations 0003, 0007 and 0009 grant by themselves; nobody grants them again."""

__all__ = [
    "APPEND_ONLY",
    "MUTABLE",
    "PERIOD_FROZEN",
    "SELF_GRANTED",
    "Accrual",
    "Anchor",
    "BookedDifference",
    "Checkpoint",
    "CommitmentDay",
    "CommitmentRow",
    "Document",
    "Entry",
    "FxRateRow",
    "IdempotencyKey",
    "Import",
    "ImportReject",
    "Invoice",
    "InvoiceLine",
    "Ledger",
    "LedgerPeriod",
    "PeriodBalance",
    "PriceAlias",
    "PriceConfirmation",
    "PriceDismissal",
    "PriceOffer",
    "PriceProposal",
    "PriceProposalEnd",
    "PriceQuarantine",
    "PriceRate",
    "PriceRelease",
    "PriceRule",
    "PriceVersion",
    "PriceWithdrawal",
    "RegistryRow",
    "Revaluation",
    "Reversed",
    "RollupDay",
    "RollupHour",
    "Seal",
    "SealState",
    "Tile",
    "Verification",
]
