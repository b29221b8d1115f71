Feature: The queue

  Scenario: The queue is empty
    Given a queue
    Then it holds 0 jobs

  Scenario: A step fails
    Given a queue
    Then it holds 1 jobs
    And it holds 0 jobs

  Scenario: A step is missing
    Given a queue
    When nobody knows this step
    Then it holds 0 jobs

  Scenario: A given fails
    Given a queue that is down
    Then it holds 0 jobs

  Scenario Outline: Jobs are done
    Given a queue
    When <sent> jobs are sent
    Then it holds <held> jobs

    Examples:
      | sent | held |
      | 1    | 1    |
      | 3    | 4    |
