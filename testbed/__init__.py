"""What the tests, the demo and the fault suite run on: a local AWS, log servers, a Vault driver, a stand-in Slack."""
