"""Two nodes on one machine, out of namespaces."""
