"""Contacts: one conversation with a customer, handed from desk to desk with what is already known.

contact       opened with a caller who may have no User ID yet; its number is short enough for the phone
caller check  six digits emailed to the address on file and read back; the clerk never sees them, and two words in the
              same email show the caller that the clerk is genuine

A check proves control of the mailbox, no more: for 15 minutes, within this contact and across its desks, it unlocks
what the mailbox's holder could do alone.
"""
