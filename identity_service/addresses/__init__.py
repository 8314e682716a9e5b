"""A customer's email address: added, changed after the new mailbox confirms, undone by the old mailbox."""
