"""A state as files: the document (checkpoint), the audit log (write-ahead log), and the lock for both."""
