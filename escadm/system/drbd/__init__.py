"""DRBD's programs."""
