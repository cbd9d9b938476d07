"""What happened in a run, as dated lines: made from its record, and written while it goes on."""
