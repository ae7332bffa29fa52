"""Day-1 logging and alerting for HashiCorp Vault and OpenBao."""
