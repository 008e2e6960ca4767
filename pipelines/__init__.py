"""The file and the process: from YAML to a running worker."""
