"""End-to-end runs of FiGS and its rivals."""
