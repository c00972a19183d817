"""The parts of board/mainhost/services: one module per server, and what they share."""
