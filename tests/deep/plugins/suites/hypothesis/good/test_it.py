import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

component = pytest.mark.migration_component("guardian-hive")


@component
@given(st.text())
@example("ä\udc80".encode("utf-8", "surrogatepass").decode("utf-8", "replace"))
def test_text(text):
    assert text.encode("utf-8").decode("utf-8") == text


@component
@pytest.mark.parametrize("factor", [1, 2])
@settings(max_examples=20)
@given(number=st.integers())
def test_parametrized(number, factor):
    assert number * factor // factor == number


class Queue(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.jobs = []

    @rule(job=st.integers())
    def send(self, job):
        self.jobs.append(job)

    @invariant()
    def none_is_lost(self):
        assert len(self.jobs) >= 0


Queue.TestCase.settings = settings(max_examples=10, stateful_step_count=5)
TestQueue = component(Queue.TestCase)
