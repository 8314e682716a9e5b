"""Pure values: User IDs, email addresses, company numbers, currencies, printable text, pasted text, UUIDs."""
