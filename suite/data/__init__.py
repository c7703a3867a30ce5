"""Examples to batches: read or generated, encoded for a backbone, laid out on the device."""
