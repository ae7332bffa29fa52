"""Finding records in what other programs write: envelopes, split lines, rows of tables, documents."""
