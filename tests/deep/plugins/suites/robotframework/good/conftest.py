def pytest_migration_component(item):
    return "comp"
