"""May the next call spend? Use cases, envelopes, the hold, the decision and its record."""
