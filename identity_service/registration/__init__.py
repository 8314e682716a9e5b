"""Issue a User ID, by email address or by nothing, and confirm the address."""
