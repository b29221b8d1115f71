"""A state as files: the document as checkpoint, the audit log as write-ahead log, and the lock that guards both."""
