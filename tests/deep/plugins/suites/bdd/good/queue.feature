Feature: The queue

  Scenario: The queue is empty
    Given a queue
    Then it holds 0 jobs

  Scenario Outline: Jobs are done
    Given a queue
    When <sent> jobs are sent
    Then it holds <held> jobs

    Examples:
      | sent | held |
      | 1    | 1    |
      | 3    | 3    |

  @guardian_hive
  Scenario: Named by a tag
    Given a queue
    When 2 jobs are sent
    Then it holds 2 jobs
