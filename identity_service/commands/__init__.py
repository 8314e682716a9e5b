"""Commands that stand in files of their own, and how every command runs: on the database of the running service."""
