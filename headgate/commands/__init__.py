"""What the commands of a technician share: the screen, exit codes, words."""
