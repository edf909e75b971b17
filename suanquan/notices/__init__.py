"""Notices: what people and programs are told, over which channels, and how it leaves the house."""
