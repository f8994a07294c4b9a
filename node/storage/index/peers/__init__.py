"""What peers have announced and requested, and the outbox of what they are sent."""
