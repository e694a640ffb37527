"""DRBD as it is decided about: what it says, what follows from that, and what is wrong with it."""
