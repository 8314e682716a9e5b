"""Import accounts from files of another system, row by row and resumable."""
