"""Records and rules to verdicts. Knows nothing of files, streams or AWS."""
