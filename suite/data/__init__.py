"""Sources of examples, their splits, and how they become batches."""
