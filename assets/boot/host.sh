#cloud-boothook
#!/bin/bash
# A host, at every boot: writes down what only CloudFormation knows, and starts the unit that installs the host.
set -euo pipefail
umask 022

install -d /etc/vaultwatch /usr/local/lib/vaultwatch

cat >/etc/vaultwatch/host.json.new <<'VALUES'
{{values}}
VALUES
mv /etc/vaultwatch/host.json.new /etc/vaultwatch/host.json

cat >/usr/local/lib/vaultwatch/boot <<'BOOT'
#!/bin/bash
# Fetches the host bundle from S3, checks it, unpacks it and lets it install the host. It may be killed at any moment.
set -euo pipefail
bundle=/var/lib/vaultwatch-boot/bundle.zip
metadata=http://169.254.169.254/latest

# Credentials are passed to curl on its standard input: other users could read its arguments.
fetch() {
    local token role credentials
    token=$(curl -sSf --max-time 5 --retry 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$metadata/api/token")
    role=$(get "$token" meta-data/iam/security-credentials/)
    credentials=$(get "$token" "meta-data/iam/security-credentials/$role")
    curl -sSf --max-time 300 --retry 5 --retry-connrefused --output "$bundle.new" --config - <<CURL
url = "{{bundle_url}}"
aws-sigv4 = "aws:amz:{{region}}:s3"
header = "x-amz-content-sha256: UNSIGNED-PAYLOAD"
$(python3 -c '
import json, sys
found = json.load(sys.stdin)
print("user = \"{AccessKeyId}:{SecretAccessKey}\"".format(**found))
print("header = \"x-amz-security-token: {Token}\"".format(**found))
' <<<"$credentials")
CURL
    sync "$bundle.new"
    mv "$bundle.new" "$bundle"
}

get() {
    curl -sSf --max-time 5 --retry 5 --config - <<CURL
url = "$metadata/$2"
header = "X-aws-ec2-metadata-token: $1"
CURL
}

intact() {
    sha256sum --check --status <<<"{{bundle_sha256}}  $bundle"
}

install -d -m 0700 "${bundle%/*}"
intact 2>/dev/null || fetch
intact || { echo "boot: the host bundle does not have the expected SHA-256" >&2; exit 1; }
python3 "$bundle" /opt/vaultwatch
exec /opt/vaultwatch/venv/bin/vaultwatch host install
BOOT
chmod 0755 /usr/local/lib/vaultwatch/boot

cat >/etc/systemd/system/vaultwatch-boot.service <<'UNIT'
[Unit]
Description=Installs this host from the Vaultwatch host bundle
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart=/usr/local/lib/vaultwatch/boot
TimeoutStartSec=1800
Restart=on-failure
RestartSec=15
StandardOutput=journal+console
StandardError=journal+console

[Install]
WantedBy=multi-user.target
UNIT

systemctl daemon-reload
systemctl enable --quiet vaultwatch-boot.service
systemctl start --no-block vaultwatch-boot.service
