"""What every layer stands on: errors, configuration, dtypes, pytrees."""
