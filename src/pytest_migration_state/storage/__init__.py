"""The stores of a state, and what all of them share."""
