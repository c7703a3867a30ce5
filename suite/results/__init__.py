"""What was measured, and how sure it is: records of cells and searches, metrics, statistics."""
