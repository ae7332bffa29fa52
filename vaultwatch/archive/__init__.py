"""Segments of logs in S3."""
