"""The nouns of the ledger, each class beside its schema."""
