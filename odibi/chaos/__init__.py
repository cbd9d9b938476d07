"""Chaos: kill a run at each moment that counts, run again, and compare with a run that nobody killed.

``place`` moves a pipeline into a scratch folder, ``child`` runs it there in a process that can be killed,
``holdings`` looks at all that a run leaves, ``verdict`` compares, and ``trials`` is the sequence.
"""
