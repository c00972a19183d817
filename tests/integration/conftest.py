from fixtures import progress, services, world  # noqa: F401  (pytest finds them here)


def pytest_configure(config):
    config.addinivalue_line("markers", "boards: builds for the boards, which takes minutes the first time")
