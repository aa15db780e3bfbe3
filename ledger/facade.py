"""Which names of the ledger may other apps and the doors use?"""

from ledger.core.allocation_mark import ALLOCATED, allocation_meaning
from ledger.core.corrections import REVERSIBLE, NotReversible
from ledger.core.document import canonical_json, document_hash
from ledger.core.entry import (
    ZERO_UUID,
    Basis,
    Finish,
    Flag,
    Kind,
    Purpose,
    pack_flags,
    unpack_flags,
)
from ledger.core.entry import Entry as Draft
from ledger.core.offer_names import ModelUnknown
from ledger.core.price_catalogue import Catalogue, CatalogueInvalid
from ledger.core.price_proposal import Change as PriceDifference
from ledger.core.price_proposal import Proposal, Quarantined
from ledger.core.price_terms import Bracket, OfferKey, PriceSource, Threshold, Tier
from ledger.core.pricing import Ladder, RatedOffer, price_usage
from ledger.core.tiles import TileId, tile_of_path
from ledger.models import APPEND_ONLY, MUTABLE, PERIOD_FROZEN, SELF_GRANTED
from ledger.operations.adopt_cluster import adopt_cluster
from ledger.operations.append import (
    ENTRY_COPY,
    IDEM_COPY,
    EntryExists,
    append,
    append_rows,
    claim,
)
from ledger.operations.copy_streams import Streams, copy_streams, synthetic_entry
from ledger.operations.correct import AlreadyReversed, reverse, with_versions
from ledger.operations.create_ledger import create_ledger
from ledger.operations.export_bundle import Exported, export_bundle
from ledger.operations.funnel import Mode, ReplayedEntry, Written, write
from ledger.operations.intern import Domain, bind, bind_fresh, intern
from ledger.operations.keep_exposure import (
    Effect,
    ExposureUnkept,
    Place,
    PlaceQuery,
    set_exposure_keeper,
    set_place_finder,
)
from ledger.operations.keep_signing_key import load_signing_key, load_verifier_keys
from ledger.operations.keep_trust import keep_trusted_note, read_trusted_notes
from ledger.operations.load_prices import (
    GENAI_PRICES,
    Loaded,
    load_catalogue,
    load_first_prices,
    propose_prices,
    read_catalogue,
)
from ledger.operations.offer_numbers import OfferNumbers, forget_offer_numbers, offer_numbers
from ledger.operations.open_sealer import open_sealer
from ledger.operations.override_price import OwnPrice, PriceAdded, add_price, withdraw_price
from ledger.operations.put_document import put_document, put_documents
from ledger.operations.record_usage import UsageReport, UsageResult, record_usage
from ledger.operations.record_verification import VerifierMode, record_verification
from ledger.operations.run_sealer import run_sealer
from ledger.operations.seal import Sealer, seal_once
from ledger.operations.verify_ledger import verify_ledger
from ledger.operations.verify_walk import Audit
from ledger.operations.write_price_version import SYSTEM
from ledger.queries.audit_rows import plan_walks
from ledger.queries.cost_rows import CostRow, list_cost_rows
from ledger.queries.database_clock import measure_clock_offset
from ledger.queries.decision_words import (
    DecisionQuery,
    DecisionWords,
    find_decisions,
    set_decision_finder,
)
from ledger.queries.effects import (
    Effects,
    HoldEffects,
    LeaseEffects,
    sum_effects,
    sum_effects_by_lease,
    sum_effects_by_reservation,
)
from ledger.queries.entries import (
    EntryFilter,
    EntryPage,
    Neighbours,
    StoredEntry,
    find_by_uid,
    get_by_seq,
    get_by_uid,
    list_entries,
    list_range,
)
from ledger.queries.entry_detail import EntryDetail, ProofView, get_entry_detail
from ledger.queries.entry_lines import (
    EntryLine,
    LineFilter,
    LinePage,
    lines_of,
    list_entry_lines,
    list_line_choices,
)
from ledger.queries.integrity import (
    Finding,
    RangeCheck,
    check_range,
    check_tree,
    drain_range,
)
from ledger.queries.ledgers import COMPANY_LEDGER, LedgerRow, find_ledger, ledger_of_company
from ledger.queries.line_query import LEDGER_GRAMMAR, line_filter_of
from ledger.queries.price_basis import Agreement, PriceBasis
from ledger.queries.price_coverage import Covered, PriceCoverage, price_coverage
from ledger.queries.price_integrity import PriceFinding, find_altered_prices
from ledger.queries.prices import (
    OfferView,
    PriceState,
    bracket_of,
    ceiling_for,
    context_window_of,
    ladder_of,
    list_offers,
    offers_meant,
    price_book,
    price_book_at,
    prices_hold_until,
    prices_stale,
    rates_for,
    resolve_offer_key,
    served_tier,
    stale_after,
)
from ledger.queries.proofs import (
    ConsistencyProof,
    InclusionProof,
    as_json,
    get_neighbours,
    prove_consistency,
    prove_inclusion,
    read_entry_tile,
    read_tile,
)
from ledger.queries.registry import list_meanings, meanings_of, numbers_of
from ledger.queries.seal_status import (
    CheckpointRow,
    SealBadge,
    SealStatus,
    SealVerdict,
    VerificationRow,
    find_horizon_holder,
    last_verification,
    latest_checkpoint,
    seal_badge,
    seal_state,
)
from ledger.queries.spend import Position, SpendKey, SpendRow, position_of, sum_spend
from ledger.queries.stated import StatedCap, stated_caps, sum_taken_by_reservation
from ledger.queries.strays import Stray, Sweep, count_strays, sweep_strays
from ledger.queries.watched_entries import (
    CallCosts,
    WatchedEntry,
    call_costs,
    spent_by_envelope,
    watched_after,
)

__all__ = [
    "CallCosts",
    "WatchedEntry",
    "call_costs",
    "spent_by_envelope",
    "watched_after",
    "ALLOCATED",
    "CostRow",
    "allocation_meaning",
    "list_cost_rows",
    "with_versions",
    "stale_after",
    "offers_meant",
    "ladder_of",
    "Ladder",
    "bracket_of",
    "adopt_cluster",
    "StatedCap",
    "plan_walks",
    "check_tree",
    "ENTRY_COPY",
    "IDEM_COPY",
    "append_rows",
    "Streams",
    "copy_streams",
    "stated_caps",
    "sum_taken_by_reservation",
    "synthetic_entry",
    "Sealer",
    "seal_once",
    "open_sealer",
    "RangeCheck",
    "check_range",
    "drain_range",
    "Exported",
    "export_bundle",
    "Audit",
    "verify_ledger",
    "keep_trusted_note",
    "read_trusted_notes",
    "APPEND_ONLY",
    "Agreement",
    "AlreadyReversed",
    "Basis",
    "Bracket",
    "COMPANY_LEDGER",
    "Catalogue",
    "CatalogueInvalid",
    "CheckpointRow",
    "ConsistencyProof",
    "Covered",
    "DecisionQuery",
    "DecisionWords",
    "Domain",
    "Draft",
    "Effect",
    "Effects",
    "EntryDetail",
    "EntryExists",
    "EntryFilter",
    "EntryLine",
    "EntryPage",
    "ExposureUnkept",
    "Finding",
    "Finish",
    "Flag",
    "GENAI_PRICES",
    "InclusionProof",
    "Kind",
    "LEDGER_GRAMMAR",
    "LedgerRow",
    "LineFilter",
    "LinePage",
    "Loaded",
    "MUTABLE",
    "Mode",
    "ModelUnknown",
    "Neighbours",
    "NotReversible",
    "OfferKey",
    "OfferNumbers",
    "OfferView",
    "OwnPrice",
    "PERIOD_FROZEN",
    "Place",
    "PlaceQuery",
    "Position",
    "PriceAdded",
    "PriceBasis",
    "PriceCoverage",
    "PriceDifference",
    "PriceFinding",
    "PriceSource",
    "PriceState",
    "ProofView",
    "Proposal",
    "Purpose",
    "Quarantined",
    "REVERSIBLE",
    "RatedOffer",
    "ReplayedEntry",
    "SELF_GRANTED",
    "SYSTEM",
    "SealBadge",
    "SealStatus",
    "SealVerdict",
    "SpendKey",
    "SpendRow",
    "StoredEntry",
    "Stray",
    "Sweep",
    "Threshold",
    "Tier",
    "TileId",
    "UsageReport",
    "UsageResult",
    "VerificationRow",
    "VerifierMode",
    "Written",
    "ZERO_UUID",
    "add_price",
    "append",
    "as_json",
    "bind",
    "bind_fresh",
    "document_hash",
    "canonical_json",
    "ceiling_for",
    "claim",
    "context_window_of",
    "count_strays",
    "create_ledger",
    "find_altered_prices",
    "find_by_uid",
    "find_decisions",
    "find_horizon_holder",
    "find_ledger",
    "forget_offer_numbers",
    "get_by_seq",
    "get_by_uid",
    "get_entry_detail",
    "get_neighbours",
    "intern",
    "last_verification",
    "latest_checkpoint",
    "ledger_of_company",
    "line_filter_of",
    "lines_of",
    "list_entries",
    "list_entry_lines",
    "list_line_choices",
    "list_meanings",
    "list_offers",
    "list_range",
    "load_catalogue",
    "load_first_prices",
    "load_signing_key",
    "load_verifier_keys",
    "meanings_of",
    "measure_clock_offset",
    "numbers_of",
    "offer_numbers",
    "pack_flags",
    "position_of",
    "price_book",
    "price_book_at",
    "price_coverage",
    "price_usage",
    "prices_hold_until",
    "prices_stale",
    "propose_prices",
    "prove_consistency",
    "prove_inclusion",
    "put_document",
    "put_documents",
    "rates_for",
    "read_catalogue",
    "read_entry_tile",
    "read_tile",
    "record_usage",
    "record_verification",
    "resolve_offer_key",
    "reverse",
    "run_sealer",
    "seal_badge",
    "seal_state",
    "served_tier",
    "set_decision_finder",
    "set_exposure_keeper",
    "set_place_finder",
    "sum_effects",
    "HoldEffects",
    "LeaseEffects",
    "sum_effects_by_lease",
    "sum_effects_by_reservation",
    "sum_spend",
    "sweep_strays",
    "tile_of_path",
    "unpack_flags",
    "withdraw_price",
    "write",
]
