"""Metering measures: what was used, by whom, when and at what price, and the computing centre's agent."""
