"""Telephone numbers of an account: up to two, each confirmed by a code in a text message to it.

A number never names an account: it only takes texts for an account that was named otherwise. It counts for recovery 72
hours after it was confirmed, where the account had another way in. The numbers of an account that was merged into
another one rest until the merge is undone.

texts  what the texts to them say
"""
