"""Why a row is there, and why another is not: the input rows that made it, down to the file and its line.

Nothing is kept for this while a pipeline runs. The queries of the steps are written anew so that each row
carries the rows it is made of, and are executed once more over the versions that the tables' own commits name.
"""
