#cloud-boothook
#!/bin/bash
# The NAT instance, at every boot: forwards new connections to port 443 from the VPC, and what answers them.
set -euo pipefail

sysctl -q -w net.ipv4.ip_forward=1

nft -f - <<'RULES'
table ip vaultwatch
delete table ip vaultwatch
table ip vaultwatch {
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        ip saddr {{vpc_cidr}} ip daddr != {{vpc_cidr}} tcp dport 443 accept
    }
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {{vpc_cidr}} ip daddr != {{vpc_cidr}} masquerade
    }
}
RULES
