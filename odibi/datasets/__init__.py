"""Where rows come from and go: files, Delta tables, and the guard between schemas."""
