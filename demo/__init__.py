"""The demo: a session of Vault through the real syslog-ng to alerts and to Slack, on this machine alone."""
