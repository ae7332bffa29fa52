"""What runs on the hosts besides the handlers: configuration files, certificates, the bootstrap of a cluster."""
