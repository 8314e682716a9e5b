"""Pure values: User IDs, email addresses, printable text, UUIDs."""
