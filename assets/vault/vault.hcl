# /etc/vault.d/vault.hcl: HashiCorp Vault, the only file that it is started with.

cluster_name = "{{cluster}}"
api_addr     = "https://{{name}}.{{domain}}:8200"
cluster_addr = "https://{{name}}.{{domain}}:8201"

# Raft's memory-mapped files must not be locked; the unit switches swap off instead.
disable_mlock = true
ui            = false

# JSON: one message stays one line.
log_level  = "info"
log_format = "json"

default_lease_ttl              = "1h"
max_lease_ttl                  = "24h"
deny_slash_in_templated_paths  = true
enable_response_header_hostname = false

listener "tcp" {
  address         = "0.0.0.0:8200"
  cluster_address = "0.0.0.0:8201"
  tls_cert_file   = "/etc/vault.d/tls/host.pem"
  tls_key_file    = "/etc/vault.d/tls/host.key"
  tls_min_version = "tls13"

  # Small limits: a request is logged whole, even if it is refused, and anybody can send one.
  max_request_size             = 2097152
  max_request_duration         = "90s"
  max_json_depth               = 64
  max_json_string_value_length = 1048576
  max_json_object_entry_count  = 10000
  max_json_array_element_count = 10000

  custom_response_headers {
    "default" = {
      "Strict-Transport-Security" = ["max-age=31536000; includeSubDomains"]
      "Content-Security-Policy"   = ["default-src 'none'; frame-ancestors 'none'"]
      "X-Content-Type-Options"    = ["nosniff"]
    }
  }
}

# Telemetry without a token, for root on this node only: see /etc/nftables.conf.
listener "tcp" {
  address         = "127.0.0.1:8210"
  tls_cert_file   = "/etc/vault.d/tls/host.pem"
  tls_key_file    = "/etc/vault.d/tls/host.key"
  tls_min_version = "tls13"

  telemetry {
    unauthenticated_metrics_access = true
  }
}

user_lockout "all" {
  lockout_threshold     = "5"
  lockout_duration      = "15m"
  lockout_counter_reset = "15m"
}

seal "awskms" {
  region     = "{{region}}"
  kms_key_id = "{{kms_seal_key}}"
}

storage "raft" {
  path    = "/var/lib/vault"
  node_id = "{{name}}"
{{join}}}

telemetry {
  disable_hostname          = true
  prometheus_retention_time = "24h"
}
