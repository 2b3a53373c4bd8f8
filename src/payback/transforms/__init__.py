"""What users call: functions that make functions."""
