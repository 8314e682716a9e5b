"""What a proven mailbox changes on an account, and what ends with a mailbox or a merge that speaks for it no longer.

A proof is of one mailbox, for one account, at one moment. It confirms the address on file only if that is the mailbox
that was read. What was gained before the first proof of an address, or through a merge or an address that is taken
back, ends on every account concerned: sessions, one-time tokens, waiting changes, and the password.
"""
