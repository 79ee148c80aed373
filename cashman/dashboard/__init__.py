"""The pages that people keep books with; each module here is one of them, and what they share stands in frame.py."""
