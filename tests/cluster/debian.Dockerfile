# The Debian that cluster.py makes, in the place of the public Python image.
FROM scratch
ADD debian.tar /
