"""What a migration is and what is allowed: pure rules without files, clock or pytest."""
