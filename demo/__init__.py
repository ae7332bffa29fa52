"""The demo: a session of Vault passes through the real syslog-ng to alerts and to Slack, all on this machine."""
