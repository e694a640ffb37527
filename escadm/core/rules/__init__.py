"""Rules of the role, a file for each family: facts in, reasons out."""
