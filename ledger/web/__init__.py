"""Where does the ledger meet HTTP? Usage in, entries and proofs out."""
