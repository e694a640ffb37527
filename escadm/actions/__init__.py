"""One verb, one file, one function: takes its ports, returns data, never prints."""
