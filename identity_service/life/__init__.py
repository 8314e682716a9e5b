"""The life of an account: the verbs that cross concepts.

register   a new User ID, by e-mail alone or by nothing; the same address finds the same account
"""
