"""Who is told of a run, and how: the event bus, hooks, deliveries with retry, alerts.

A run tells by the changes of its step records; nothing in it knows of hooks. What is told leaves the
walk's thread at once, so that a hook that is slow, hangs or fails delays no step and fails no run.
"""
