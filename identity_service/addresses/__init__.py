"""A customer's email addresses: added, changed after the new mailbox confirms, undone by the old mailbox.

address on file     one; changed by a request (`actions`, `waiting`) or made so from a further one
further addresses   up to four more, for recovery and for notices (`further`)
undo                for seven days, by every mailbox that was told (`undo`)
"""
