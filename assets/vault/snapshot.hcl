# What a node may do in Vault: take a Raft snapshot, which the seal encrypts.
path "sys/storage/raft/snapshot" {
  capabilities = ["read"]
}
