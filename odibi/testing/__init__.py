"""Tests of steps: rows in, rows expected; the write is applied for real, in a scratch folder."""
