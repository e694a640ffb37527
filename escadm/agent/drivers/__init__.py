"""What starts and stops a unit: a file for each kind, complete."""
