"""escadm: two machines as primary and standby, with keepalived, DRBD and systemd."""

__version__ = "0.1.0"
