# What the canary may do in Vault: ask about its own token, so that an audit entry is written.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
