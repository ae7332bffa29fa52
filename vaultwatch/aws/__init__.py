"""What Vaultwatch needs of AWS: clients, S3 keys, metrics."""
