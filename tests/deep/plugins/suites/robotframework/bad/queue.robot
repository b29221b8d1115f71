*** Test Cases ***
Good
    Should Be Equal    ${1}    ${1}

A Keyword Fails
    Should Be Equal    ${1}    ${2}

No Such Keyword
    Nobody Knows This Keyword

Setup Fails
    [Setup]    Fail    port 8080
    Log    not reached

Teardown Fails
    Log    all is well
    [Teardown]    Fail    port 8080

Skipped
    Skip    not here

Goes On After A Failure
    Run Keyword And Continue On Failure    Fail    port 8080
    Log    reached
