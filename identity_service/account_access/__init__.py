"""Account access: which staff member opened which account in which contact, and why; the customer can read it."""
