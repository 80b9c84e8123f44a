"""Wording: prompt templates by language, and the notices people see."""
