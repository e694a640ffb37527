"""One file for each verb or family: the command's face, and the action that it calls."""
