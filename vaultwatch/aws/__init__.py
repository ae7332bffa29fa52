"""Access to AWS: clients, S3 keys, metrics, and the publishing and delivery of notifications."""
