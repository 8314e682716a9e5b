"""What is recorded of brands: which hosts and senders DNS has proven (BRD-07), and which words were in use (BRD-09).

`proofs` and `words` are the actions, a file for each of the two; `flows` looks up DNS between two transactions.
"""
