"""Footage: read, scan, analyse, crop and extract what training reads."""
