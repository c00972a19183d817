from fixtures import progress, services, world  # noqa: F401  (pytest finds them here)
