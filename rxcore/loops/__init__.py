"""The loop language: Nests of scalar statements, one level above text."""
