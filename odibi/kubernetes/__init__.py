"""Steps in pods of a Kubernetes cluster: manifests, submitting and following them, and the worker inside."""
