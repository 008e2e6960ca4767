"""What survives: the formats of the task's log and of what a key remembers."""
