from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser
from sybil.parsers.rest import DocTestParser

markdown = Sybil(parsers=[PythonCodeBlockParser(), SkipParser()], pattern="*.md")
text = Sybil(parsers=[DocTestParser()], pattern="*.rst")

pytest_collect_file = (markdown + text).pytest()


def pytest_migration_component(item):
    return "comp"
