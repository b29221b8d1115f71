*** Settings ***
Suite Setup     Set Suite Variable    @{JOBS}    a    b
Test Teardown   Length Should Be    ${JOBS}    2

*** Test Cases ***
Answers
    Should Be Equal    ${1}    ${1}

Holds Two Jobs
    [Tags]    slow
    ${count}=    Get Length    ${JOBS}
    Should Be Equal As Integers    ${count}    2

From A Template
    [Template]    Should Not Be Empty
    a
    b
