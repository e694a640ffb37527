"""What goes outward: files that others go by, the memory of the next agent, acts on the data."""
