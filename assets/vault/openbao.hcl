# /etc/vault.d/vault.hcl: OpenBao, the only file that it is started with.

cluster_name = "{{cluster}}"
api_addr     = "https://{{name}}.{{domain}}:8200"
cluster_addr = "https://{{name}}.{{domain}}:8201"

ui = false

# JSON: one message stays one line.
log_level  = "info"
log_format = "json"

default_lease_ttl = "1h"
max_lease_ttl     = "24h"

# OpenBao has audit devices in its configuration, and refuses to add one through the API.
audit "socket" "socket" {
  description = "The fast way: syslog-ng on this node."
  options {
    address               = "127.0.0.1:1515"
    socket_type           = "tcp"
    write_timeout         = "100ms"
    elide_list_responses  = "true"
    hmac_accessor         = "false"
  }
}

audit "file" "file" {
  description = "The second copy, on a volume of its own."
  options {
    file_path            = "/var/log/vault/audit.log"
    mode                 = "0640"
    elide_list_responses = "true"
    hmac_accessor        = "false"
  }
}

listener "tcp" {
  address         = "0.0.0.0:8200"
  cluster_address = "0.0.0.0:8201"
  tls_cert_file   = "/etc/vault.d/tls/host.pem"
  tls_key_file    = "/etc/vault.d/tls/host.key"
  tls_min_version = "tls13"

  # Small limits: a request is logged whole, even if it is refused, and anybody can send one.
  max_request_size         = 2097152
  max_request_duration     = "90s"
  max_request_json_memory  = 8388608
  max_request_json_strings = 10000

  disable_unauthed_rekey_endpoints         = true
  disable_unauthed_generate_root_endpoints = true

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
    metrics_only                   = true
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
