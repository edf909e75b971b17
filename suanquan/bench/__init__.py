"""Measurements: each gives its figure and, from the same run, the raw limit of the machine it is compared with."""
