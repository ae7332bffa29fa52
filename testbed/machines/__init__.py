"""Machines that boot: systemd, cloud-init and everything else of a host, from the user data of the templates."""
