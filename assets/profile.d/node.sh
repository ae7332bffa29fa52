# shellcheck shell=sh
# /etc/profile.d/vaultwatch-node.sh: `vault` and `bao` on this node talk to this node.
export VAULT_ADDR="https://{{name}}.{{domain}}:8200"
export VAULT_CACERT=/etc/vaultwatch/tls/authority.pem
export BAO_ADDR="$VAULT_ADDR"
export BAO_CACERT="$VAULT_CACERT"
