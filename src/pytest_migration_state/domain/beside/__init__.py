"""The rules for what other programs did to the document and the log (DESIGN: "Beside other programs")."""
