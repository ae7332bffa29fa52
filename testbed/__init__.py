"""The test bed of tests and demo: a local AWS, log servers, a Vault driver, and a stand-in for Slack."""
