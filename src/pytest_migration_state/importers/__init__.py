"""Results of other tools become events. Nothing here knows where a state is stored."""
