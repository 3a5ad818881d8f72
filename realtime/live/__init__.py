"""The live application: sources, session, failover, server start, calibration and benchmark."""
