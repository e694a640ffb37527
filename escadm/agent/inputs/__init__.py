"""What is known: each feed tells of one thing and wakes the node when it changes."""
