"""How long the page of an erased account shows its receipt. Pure."""

from typing import Final

RECEIPT_SHOWN_S: Final = 600
LONGEST_RECEIPT: Final = 3900
"""A browser drops a cookie of more than 4,096 bytes; a longer receipt, of very many merged accounts, is shown once."""
