
  retry_join {
    leader_api_addr       = "https://{{node}}:8200"
    leader_tls_servername = "{{node}}"
    leader_ca_cert_file   = "/etc/vault.d/tls/authority.pem"
  }
