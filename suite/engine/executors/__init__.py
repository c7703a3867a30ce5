"""Each module here is an executor: `--executor` takes its name (see `suite.engine.executor`)."""
