"""What the demo and the integration tests share: running playbooks, and talking to the sample application."""
