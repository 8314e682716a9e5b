"""Export, erase and list the data stored about a customer, driven by one inventory."""
