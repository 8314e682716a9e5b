"""The kinds that the summary counts are called as services send them; their labels are for customers."""

from identity_service.history import rules


def test_kinds_are_the_contract_s_and_labels_are_words():
    assert (rules.ORDER, rules.REFUND, rules.TICKET, rules.TICKET_CLOSED) == (
        "order", "refund", "ticket", "ticket_closed",
    )  # fmt: skip
    assert rules.KINDS["ticket"] == "support request"
