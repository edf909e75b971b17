"""Decision letters: what a recorded decision says to whom it concerns, as a PDF whose bytes follow from the record."""
