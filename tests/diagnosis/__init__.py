"""What the debug-collector says of jobs whose faults are known, on the real stack."""
